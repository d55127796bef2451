"""What the kernel says of a process."""

from __future__ import annotations

import time
from pathlib import Path

_KB = 1024
_CPUCLOCK_SCHED = 2


def cpu_ms(pid: int) -> float:
    """CPU time of the whole process so far, of threads that have ended too.

    By the process's own clock (clock_getcpuclockid(3)), in nanoseconds: /proc/PID/stat counts in
    hundredths of a second, too coarse for one trace.
    """
    return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED) / 1e6


def resident_mb(pid: int) -> float:
    """Resident memory, pages shared with others included (MB of 2^20 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / _KB
    return 0.0
