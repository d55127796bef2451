"""Whose lab something is: everything that a lab makes carries its tag.

A process id alone would lie, since ids are used again; with the start time of the process it is
unique until the next boot, and what a lab makes does not outlive that.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

STATE_ROOT = Path("/run/colotrace-lab")
"""Below /run, as /run/netns is: gone at boot, and private where a user namespace mounts its own."""

MARK = "COLOTRACE_LAB"
"""The environment variable by which a lab's processes are recognised, wherever they run."""

_TAG = re.compile(r"ctlab-(\d+)-(\d+)-(\d+)(?:-(.+))?")
_serials = itertools.count()


@dataclass(frozen=True, slots=True)
class Tag:
    """One lab: its owner's process id and start time, and a count within the owner."""

    pid: int
    started: int
    serial: int

    def __str__(self) -> str:
        return f"ctlab-{self.pid}-{self.started}-{self.serial}"

    @classmethod
    def new(cls) -> Tag:
        """A tag for one more lab of this process."""
        pid = os.getpid()
        started = started_at(pid)
        if started is None:
            raise RuntimeError("/proc does not show this process: mount it for this pid namespace")
        return cls(pid, started, next(_serials))

    @classmethod
    def of(cls, name: str) -> Tag | None:
        """The tag that a namespace or a state directory bears, None if it is not a lab's."""
        match = _TAG.fullmatch(name)
        return cls(*(int(match[i]) for i in (1, 2, 3))) if match else None

    @property
    def alive(self) -> bool:
        """Its owner still runs."""
        return started_at(self.pid) == self.started

    @property
    def state(self) -> Path:
        """Where its files are."""
        return STATE_ROOT / str(self)

    @property
    def root_link(self) -> str:
        """The name of its interface in the caller's namespace, in the 15 characters there are."""
        return f"ct{hashlib.sha256(str(self).encode()).hexdigest()[:12]}"

    def namespace(self, node: str) -> str:
        """The name of the namespace of one of its nodes."""
        return f"{self}-{node}"


def started_at(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Fields are counted behind the command, which may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
