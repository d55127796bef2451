"""Clients that follow a running measurement: their CPU time, and how soon they see a reply."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from load import first_events, watched

from bench.figures import Figure, Run, alternate, figures_of
from bench.rows.subject import Subject
from bench.session import Session

_WATCHERS, _SECONDS = 500, 5.0
# Events a second: as of a measurement of many colos, and so few that each is a write of its own.
_MANY, _FEW = 100, 10
_MOST_US = 25.0
_MEASUREMENTS = 60
_FIRST, _LONGEST = "first event", "first event, longest"
_FIRST_MS = 20.0
_CPU, _MEMORY, _PIECES = "CPU an event and watcher", "memory a watcher", "pieces a second"
_UNITS = {_CPU: "µs", _MEMORY: "KB", _PIECES: "/s"}


def _measure(session: Session) -> Iterator[Figure]:
    watchers, seconds = (20, 0.5) if session.quick else (_WATCHERS, _SECONDS)
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
    yield from _first(session)


def _first(session: Session) -> Iterator[Figure]:
    """From a reply to its event. The longest time has a bound, too."""
    session.say("followed: the first event")
    with first_events.Bed(installed=not session.quick) as bed:
        delays = bed.measure(session.runs(_MEASUREMENTS, quick=2))
    work = "from a measurement's first reply to its watcher"
    for label, samples in (
        ("its own coordinator, HTTPS", delays.own_ms),
        ("another coordinator, by the broker", delays.other_ms),
    ):
        for quantity, each in ((_FIRST, tuple(samples)), (_LONGEST, (max(samples),))):
            figure = Figure(work, label, quantity, "ms", each)
            yield figure.bounded(at_most=_FIRST_MS) if samples is delays.own_ms else figure


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
    f"each watcher; with {_FEW} events a second each of them is one event. First event: two real "
    "coordinators with TLS and Mosquitto; a simulated agent gives its first reply to its link 2 to "
    "200 ms after the watcher has the event `start`. The time is from then until the watcher has "
    "read the hop, and so has the way to the coordinator in it.",
    _measure,
    plotted=(_CPU,),
)
