"""Removes labs: one's own in the end, and at the start those whose owners are dead."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab import namespaces
from lab.owner import STATE_ROOT, Tag
from lab.processes import kill_remaining


def remove(tag: Tag) -> None:
    """Remove all of a lab: its processes, namespaces, the interface outside them, its files."""
    _remove(tag)
    with _alone():
        _remove_empty_root()


def _remove(tag: Tag) -> None:
    own = [name for name in namespaces.existing() if Tag.of(name) == tag]
    kill_remaining([tag], own)
    _delete_link(tag.root_link)
    namespaces.delete(own)
    shutil.rmtree(tag.state, ignore_errors=True)


def make_state(tag: Tag) -> None:
    """Make a lab's directory."""
    with _alone():
        tag.state.mkdir(parents=True)


def remove_dead() -> list[Tag]:
    """Remove every lab whose owner is dead, and nothing else; their tags."""
    with _alone():
        names = [*namespaces.existing(), *(entry.name for entry in _states())]
        tags = {tag for tag in map(Tag.of, names) if tag}
        dead = sorted((tag for tag in tags if not tag.alive), key=str)
        for tag in dead:
            _remove(tag)
        _remove_empty_root()
        return dead


def _remove_empty_root() -> None:
    """The common directory goes with the last lab that used it."""
    with contextlib.suppress(OSError):
        STATE_ROOT.rmdir()


def _states() -> list[Path]:
    return list(STATE_ROOT.iterdir()) if STATE_ROOT.is_dir() else []


def _delete_link(name: str) -> None:
    if (Path("/proc/sys/net/ipv4/conf") / name).exists():
        done = subprocess.run(["ip", "link", "delete", name], capture_output=True, text=True)
        # Its other end may have gone with its namespace in between.
        if done.returncode and "Cannot find device" not in done.stderr:
            raise namespaces.LabError(f"ip: {done.stderr.strip()}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time: two would trip over each other's deletions, or over the empty directory."""
    fd = os.open("/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
