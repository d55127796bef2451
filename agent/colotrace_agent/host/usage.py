"""What this process uses of its host: CPU and memory."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from colotrace_proto.messages import MAX_CPU_MILLIS, MAX_MEMORY_BYTES, Usage

MEASURED_OVER_S = 3.0
"""Shortest time over which CPU is averaged. Heartbeats of a busy agent come each second; the first
one of a new agent comes after 4 s or more."""
_STATM = Path("/proc/self/statm")


class ProcessUsage:
    """Measures this process whenever it is asked."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        statm: Path = _STATM,
    ) -> None:
        """`cpu` gives the CPU time of the process in seconds, `clock` any steady time."""
        self._clock, self._cpu, self._statm = clock, cpu, statm
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._at, self._used_s = clock(), cpu()
        self._last: Usage | None = None

    def __call__(self) -> Usage | None:
        """The memory now, and the CPU since the previous measurement. None until there has been
        one, or without /proc."""
        now = self._clock()
        over_s = now - self._at
        if over_s < MEASURED_OVER_S:
            return self._last
        used_s = self._cpu()
        millis = round(1_000 * (used_s - self._used_s) / over_s)
        self._at, self._used_s = now, used_s
        try:
            # proc_pid_statm(5): the second number counts the resident pages.
            pages = int(self._statm.read_bytes().split()[1])
        except (OSError, ValueError, IndexError):
            return None
        self._last = Usage(
            cpu_millis=min(max(millis, 0), MAX_CPU_MILLIS),
            memory_bytes=min(pages * self._page_bytes, MAX_MEMORY_BYTES),
        )
        return self._last
