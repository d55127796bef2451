"""What the kernel says of a process, and of the whole machine."""

from __future__ import annotations

import os
import time
from pathlib import Path

_KB = 1024
_CPUCLOCK_SCHED = 2
_TICKS = os.sysconf("SC_CLK_TCK")
# Of /proc/stat's columns: user, nice, system, idle, iowait, irq, softirq, steal.
_IDLE, _WAITING, _STOLEN = 3, 4, 7


def cpu_ms(pid: int) -> float:
    """CPU time of the whole process so far, of threads that have ended too.

    By the process's own clock (clock_getcpuclockid(3)), in nanoseconds: /proc/PID/stat counts in
    hundredths of a second, too coarse for one trace.
    """
    return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED) / 1e6


def resident_mb(pid: int) -> float:
    """Resident memory, pages shared with others included (MB of 2^20 bytes)."""
    return _status(Path(f"/proc/{pid}"), "VmRSS") / _KB


def peak_mb(pid: int) -> float:
    """The most that was ever resident (MB of 2^20 bytes)."""
    return _status(Path(f"/proc/{pid}"), "VmHWM") / _KB


def wakeups(pid: int) -> int:
    """How often its threads have waited for something, and were woken."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(_status(task, "voluntary_ctxt_switches") for task in tasks)


def busy_s() -> float:
    """Seconds that the machine's cores together were not idle: only differences mean something.

    All the time that there was less /proc/stat's idle time. That is measured; what each core was
    busy with is sampled by a tick, which misses what begins and ends between two.
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
    """How many cores `busy_s` speaks of."""
    lines = Path("/proc/stat").read_text().splitlines()
    return sum(line.startswith("cpu") for line in lines) - 1


def _status(directory: Path, name: str) -> int:
    for line in (directory / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
