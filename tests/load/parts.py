"""`python -m load.parts`: which part of the coordinator its CPU time goes to, for large requests.

Takes a minute. Prints a table: share of the CPU time, and milliseconds a row.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from eventually import wait_until
from rich.console import Console
from rich.table import Table

from bench import proc

from .bed import MIDDLE, Bed, request

PARTS = {
    "decode and check the agents' messages": (
        "colotrace_proto/codec", "colotrace_proto/messages", "links/direct/intake",
    ),
    "streams: queues, batches, acknowledgements": ("links", "colotrace_proto/tasks"),
    "order of starts, and limits": (
        "jobs/starts", "jobs/fair", "jobs/target_rates", "jobs/window", "jobs/coalesce", "shares",
        "turns",
    ),
    "jobs: offers, acceptances, frames, ends": ("jobs", "fleet", "colotrace_proto/running"),
    "the request, its tasks and its rows": ("service", "answer", "enrich", "policy"),
    "hops, nodes and statistics (numpy)": ("colotrace_proto/tally", "colotrace_proto/ends"),
    "the measurement: kept, and followed live": (
        "measurements", "live", "store", "lines", "colotrace_proto/measured",
    ),
    "JSON, HTTP and TLS of the answer": ("api",),
    "event loop, with gRPC's core and sockets": ("", "garbage"),
}  # fmt: skip
"""For each part the beginnings of its source files; the first part that fits counts."""
THREADS = "gRPC's threads"
OTHER = "other"
RECORD = "samples.json"
SAMPLED = Path(__file__).with_name("sampled.py")


def shares(samples: Mapping[str, int], *, threads_ms: float, all_ms: float) -> dict[str, float]:
    """The share of each part, by the samples of the loop's thread and the CPU time of the other
    threads."""
    counts: Counter[str] = Counter()
    for file, count in samples.items():
        fits = (
            part
            for part, begins in PARTS.items()
            if any(file.startswith(begin) if begin else not file for begin in begins)
        )
        counts[next(fits, OTHER)] += count
    loop_share = 1 - threads_ms / all_ms
    found = {part: loop_share * counts[part] / counts.total() for part in (*PARTS, OTHER)}
    return {**found, THREADS: threads_ms / all_ms}


def measured(bed: Bed, record: Path, *, colos: int, runs: int) -> tuple[dict[str, float], float]:
    """The shares, and the CPU time in milliseconds a row, of requests of `colos` x 10."""
    body = [{"name": "large", "bodies": [request(colos, 10)], "width": 1}]
    bed.clients.run(body, seconds=0.0)  # the first request loads code
    _written(bed, record)
    pid = bed.coordinator.pid
    before = proc.cpu_ms(pid), _loop_ms(pid)
    for number in range(runs):
        bed.say(f"request {number + 1} of {runs}")
        bed.clients.run(body, seconds=0.0)
    time.sleep(0.3)  # work after the answer belongs to it
    all_ms, loop_ms = proc.cpu_ms(pid) - before[0], _loop_ms(pid) - before[1]
    found = shares(_written(bed, record), threads_ms=all_ms - loop_ms, all_ms=all_ms)
    return found, all_ms / (runs * colos * 10)


def _written(bed: Bed, record: Path) -> dict[str, int]:
    record.unlink(missing_ok=True)
    os.kill(bed.coordinator.pid, signal.SIGUSR1)
    wait_until(record.exists)
    found: dict[str, int] = json.loads(record.read_text())
    return found


def _loop_ms(pid: int) -> float:
    """The CPU time of the main thread, which runs the event loop."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e6


def main() -> int:
    """Measure and print."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="colotrace-load-")))
        record = directory / RECORD
        progress = Console(stderr=True)
        size = replace(MIDDLE, runs=20)
        bed = Bed(stack, directory, size, progress.print, program=(sys.executable, SAMPLED, record))
        found, row_ms = measured(bed, record, colos=size.colos, runs=size.runs)
    table = Table("part", "share", "ms a row", box=None)
    for part, share in found.items():
        table.add_row(part, f"{share:.0%}", f"{share * row_ms:.3f}")
    table.add_row("all", "100%", f"{row_ms:.3f}")
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
