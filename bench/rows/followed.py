"""CPU time that clients cost which follow a running measurement."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from load import watched

from bench.figures import Figure, Run, alternate, figures_of
from bench.rows.subject import Subject
from bench.session import Session

_WATCHERS, _SECONDS = 500, 5.0
# Events a second: as of a measurement of many colos, and so few that each is a write of its own.
_MANY, _FEW = 100, 10
_MOST_US = 25.0
_CPU, _MEMORY, _PIECES = "CPU an event and watcher", "memory a watcher", "pieces a second"
_UNITS = {_CPU: "µs", _MEMORY: "KB", _PIECES: "/s"}


def _measure(session: Session) -> Iterator[Figure]:
    watchers, seconds = (20, 1.0) if session.quick else (_WATCHERS, _SECONDS)
    for rate in (_MANY, _FEW):
        session.say(f"followed: {rate} events a second")
        sides = {
            label: partial(_once, watchers, rate=rate, seconds=seconds, tls=tls)
            for label, tls in (("HTTPS", True), ("HTTP", False))
        }
        samples = alternate(sides, runs=session.runs(3), warm=False)
        work = f"{_WATCHERS} watchers, {rate} events a second"
        for figure in figures_of(work, samples, _UNITS, {}):
            bounded = figure.quantity == _CPU and rate == _MANY
            yield figure.bounded(at_most=_MOST_US) if bounded else figure


def _once(watchers: int, *, rate: int, seconds: float, tls: bool) -> Run:
    cost = watched.measure(watchers, rate=rate, seconds=seconds, tls=tls)
    return Run(
        {_CPU: cost.cpu_us, _MEMORY: cost.memory_kb, _PIECES: cost.pieces / seconds},
    )


SUBJECT = Subject(
    "followed",
    f"{_WATCHERS} clients follow a measurement",
    f"A coordinator's HTTP server in a process of its own, on loopback; for {_SECONDS:g} s each "
    "event is a new hop of some 300 bytes. The CPU time is that of the process, with the kernel's "
    "share of its writes, from the first event until all connections have their end. Memory is "
    "what a waiting connection adds to resident memory. At most ten pieces a second are written to "
    f"each watcher; with {_FEW} events a second each of them is one event.",
    _measure,
    plotted=(_CPU,),
)
