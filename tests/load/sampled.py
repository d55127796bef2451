"""A coordinator whose CPU time is sampled: `sampled.py RECORD serve …`.

A timer of the process's CPU time interrupts the event loop's thread, and the innermost function of
ours that runs is counted. While it calls into C, the sample comes when that call returns. SIGUSR1
writes the file `RECORD`, a line of JSON with the samples by source file since the last SIGUSR1; ""
is the event loop with what it calls in C: gRPC's core, TLS, sockets.
"""

import collections
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from colotrace_coordinator.main import main

INTERVAL_S = 0.004
"""The kernel's tick: a shorter one is not served."""
_OURS = ("colotrace_coordinator/", "colotrace_proto/")


def source(frame: FrameType | None) -> str:
    """The file of the innermost function of ours below the start of the program: `jobs/starts.py`;
    "" if there is none."""
    while frame is not None:
        name = frame.f_code.co_filename
        for ours in _OURS:
            _, found, file = name.rpartition(ours)
            if found:
                return "" if file in _STARTING else file if "coordinator" in ours else ours + file
        frame = frame.f_back
    return ""


_STARTING = ("serving.py", "main.py", "__main__.py", "starting.py", "output.py")
"""Below everything."""


def run(path: Path, argv: list[str]) -> None:
    """Run the coordinator's command line."""
    counts: collections.Counter[str] = collections.Counter()

    def sample(_number: int, frame: FrameType | None) -> None:
        counts[source(frame)] += 1

    def write(*_: object) -> None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(counts))
        part.replace(path)
        counts.clear()

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
    signal.signal(signal.SIGUSR1, write)
    sys.argv = ["colotrace-coordinator", *argv]
    main()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
