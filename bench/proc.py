"""CPU time, memory and wake-ups of a process, and CPU time of the machine, from the kernel."""

from __future__ import annotations

import os
import time
from pathlib import Path

_KB = 1024
_CPUCLOCK_SCHED = 2
_TICKS = os.sysconf("SC_CLK_TCK")
# Columns of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
_IDLE, _WAITING, _STOLEN = 3, 4, 7


def cpu_ms(pid: int) -> float:
    """CPU time of the process so far, including ended threads.

    From the process's CPU clock (clock_getcpuclockid(3)), in nanoseconds. /proc/PID/stat has
    hundredths of a second, which is too coarse for one trace.
    """
    return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED) / 1e6


def resident_mb(pid: int) -> float:
    """Resident memory, including shared pages (MB of 2^20 bytes)."""
    return _status(Path(f"/proc/{pid}"), "VmRSS") / _KB


def peak_mb(pid: int) -> float:
    """Peak of resident memory (MB of 2^20 bytes)."""
    return _status(Path(f"/proc/{pid}"), "VmHWM") / _KB


def wakeups(pid: int) -> int:
    """Number of voluntary context switches of its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(_status(task, "voluntary_ctxt_switches") for task in tasks)


def busy_s() -> float:
    """Seconds during which the machine's cores were not idle, summed; only differences are
    meaningful.

    Total time minus the idle time of /proc/stat, which is measured. The busy times of /proc/stat
    are sampled by a tick and miss short activity.
    """
    total, *cores = (
        line.split()
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("cpu")
    )
    spent = [int(word) for word in total[1:9]]
    not_ours = (spent[_IDLE] + spent[_WAITING] + spent[_STOLEN]) / _TICKS
    return len(cores) * time.monotonic() - not_ours


def cores() -> int:
    """Number of cores in `busy_s`."""
    lines = Path("/proc/stat").read_text().splitlines()
    return sum(line.startswith("cpu") for line in lines) - 1


def _status(directory: Path, name: str) -> int:
    for line in (directory / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
