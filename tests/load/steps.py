"""A coordinator whose steps are measured: `steps.py RECORD serve …`.

A step is one callback of the event loop. SIGUSR1 writes the file `RECORD`, a line of JSON with the
longest steps and garbage collections since the last SIGUSR1, by CPU time of their thread. The loop
is asyncio's, since a callback of uvloop cannot be measured from outside.
"""

import asyncio
import gc
import heapq
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from colotrace_coordinator.main import main

MOST = 50


class Record:
    """The longest steps and collections, in milliseconds of CPU time."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, str]] = []
        self.collections: list[tuple[float, int, int]] = []
        self._began = 0

    def measure_steps(self) -> None:
        """Measure each callback of the event loop from now on."""
        run = asyncio.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            began = time.thread_time_ns()
            run(handle)
            took_ms = (time.thread_time_ns() - began) / 1e6
            if len(self.steps) < MOST:
                heapq.heappush(self.steps, (took_ms, _name(handle)))
            elif took_ms > self.steps[0][0]:
                heapq.heapreplace(self.steps, (took_ms, _name(handle)))

        asyncio.Handle._run = measured  # type: ignore[method-assign]

    def collection(self, phase: str, info: dict[str, Any]) -> None:
        """A callback of `gc.callbacks`."""
        if phase == "start":
            self._began = time.thread_time_ns()
        else:
            took_ms = (time.thread_time_ns() - self._began) / 1e6
            self.collections.append((took_ms, info["generation"], info["collected"]))

    def write(self, path: Path) -> None:
        """Write what was measured, longest first, and start anew."""
        collections = sorted(self.collections, reverse=True)[:MOST]
        found = {"steps": sorted(self.steps, reverse=True), "collections": collections}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.replace(path)
        self.steps.clear()
        self.collections.clear()


def _name(handle: asyncio.Handle) -> str:
    """What ran: of a task's step the coroutine, which the handle's own name does not tell."""
    task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    return repr(task.get_coro()) if isinstance(task, asyncio.Task) else repr(handle)


def run(path: Path, argv: list[str]) -> None:
    """Run the coordinator's command line."""
    record = Record()
    record.measure_steps()
    gc.callbacks.append(record.collection)
    uvloop.new_event_loop = asyncio.new_event_loop
    signal.signal(signal.SIGUSR1, lambda *_: record.write(path))
    sys.argv = ["colotrace-coordinator", *argv]
    main()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
