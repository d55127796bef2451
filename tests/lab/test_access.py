"""If no lab can be built, the reason is reported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import access, enter

TESTS = Path(__file__).parent.parent
# The host's directories below a directory that is not a mount point.
PLAIN_CHROOT = """
mount --make-rprivate /
root=$1
for folder in /*; do
  if [ -L "$folder" ]; then cp -d "$folder" "$root/"; continue; fi
  if [ ! -d "$folder" ] || [ "$folder" = /proc ] || [ "$folder" = /sys ]; then continue; fi
  mkdir -p "$root$folder"
  if [ "$folder" = /tmp ]; then continue; fi
  mount --rbind "$folder" "$root$folder"
done
mkdir -p "$root/proc"
if [ "$2" = proc ]; then mount -t proc none "$root/proc"; fi
shift 2
exec chroot "$root" "$@"
"""
ASKING = "from lab import access; print(access.reason())"


@pytest.mark.skipif(
    os.geteuid() != 0 or bool(enter.missing_capabilities()), reason="changes its root: needs root"
)
@pytest.mark.parametrize(("proc", "word"), [("none", "/proc"), ("proc", "plain chroot")])
def test_plain_chroot_gives_a_reason(tmp_path: Path, proc: str, word: str) -> None:
    """A chroot as made by debootstrap, with and without /proc."""
    if access.reason():
        pytest.skip(str(access.reason()))
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-ec", PLAIN_CHROOT, "sh", str(tmp_path), proc),
            *("env", f"PYTHONPATH={TESTS}", sys.executable, "-c", ASKING),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert word in done.stdout
