"""The root file systems that booted roots start from: one of each Debian suite, made once.

They are kept in `.roots` of the checkout, since each takes half a minute and is never written to.
`make clean` removes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

SUITES = ("bookworm", "trixie")
"""Debian 12 and 13."""

CHECKOUT = Path(__file__).parents[2]
_KEPT = CHECKOUT / ".roots"

# What a small server of Debian's has beside its essential packages, as far as tests use it.
_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "iproute2",
    "iputils-ping",
    "ca-certificates",
    "curl",
    "procps",
    "python3",
)


class BaseError(RuntimeError):
    """A root file system could not be made."""


def base(suite: str) -> Path:
    """The root file system of a suite: made by mmdebstrap if it isn't there. Do not write to it."""
    _KEPT.mkdir(exist_ok=True)
    directory = _KEPT / suite
    with (_KEPT / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            _make(suite, directory)
    return directory


def _make(suite: str, directory: Path) -> None:
    print(f"making a root of Debian's {suite}", file=sys.stderr)
    partial = directory.with_name(f"{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", "--format=directory"]
    done = subprocess.run(
        [*command, f"--include={','.join(_PACKAGES)}", suite, str(partial)],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        raise BaseError(f"mmdebstrap {suite}: {done.stderr.strip()[-2000:]}")
    _trust_this_machine(partial)
    partial.rename(directory)


def _trust_this_machine(root: Path) -> None:
    """Give the root the certificates that this machine trusts: a company's proxy may be one."""
    bundle = "etc/ssl/certs/ca-certificates.crt"
    shutil.copyfile(Path("/", bundle), root / bundle)


if __name__ == "__main__":
    for name in sys.argv[1:] or SUITES:
        print(base(name))
