"""Files that are replaced as a whole."""

import os
from pathlib import Path

from colotrace_coordinator.store.durable import written_whole


def test_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    """The package runs root's commands with 077; a broker reads its files through their group."""
    file = tmp_path / "acl"
    before = os.umask(0o077)
    try:
        with written_whole(file, mode=0o640) as opened:
            opened.write(b"x")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o640
