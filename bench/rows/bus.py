"""How much an MQTT broker adds to the time of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from bench.figures import BEYOND, BenchError, Figure, Samples, alternate, figures_of
from bench.places import Place
from bench.rows.subject import Subject
from bench.session import Session
from bench.stack import broker_on, stack_on

DIRECT, BUS = "colotrace, direct streams", "colotrace, by MQTT"
ADDED = "more than direct"
ADDED_MS = 5.0


def added(work: str, samples: Mapping[str, Samples], quantity: str) -> Figure:
    """The difference between MQTT and direct streams, for the two runs of each round."""
    pairs = zip(samples[BUS].of(quantity), samples[DIRECT].of(quantity), strict=True)
    more = tuple(one - other for one, other in pairs)
    return Figure(work, BUS, f"{quantity}, {ADDED}", "ms", more, at_most=ADDED_MS)


def _measure(session: Session) -> Iterator[Figure]:
    for place in session.paths():
        yield from _on(place, session)


def _on(place: Place, session: Session) -> Iterator[Figure]:
    with (
        broker_on(place) as broker,
        stack_on(place) as direct,
        stack_on(place, broker=broker) as bus,
    ):
        session.say(f"bus: {place.work}")
        for stack in (direct, bus):
            stack.run("icmp")  # fills the cache of names, and opens the stream for replies
        samples = alternate(
            {DIRECT: partial(direct.run, "icmp"), BUS: partial(bus.run, "icmp")},
            runs=session.runs(40),
            warm=not session.quick,
        )
        if direct.shared_jobs() or bus.shared_jobs():
            raise BenchError("two requests were answered by one trace: the figures are void")
    for taken in samples.values():  # drop quantities that do not matter here
        for run in taken.runs:
            del run.values[BEYOND], run.values["longest RTT seen"]
    yield from figures_of(place.work, samples, {}, {})
    yield added(place.work, samples, "wall")


SUBJECT = Subject(
    "bus",
    "One ICMP trace of 15 hops, 3 probes a hop: what an MQTT broker adds",
    "From HTTP request to HTTP answer, as in the whole stack. There are two coordinators and two "
    "agents on the same path: one pair with a direct stream, one with Mosquitto. One trace runs at "
    "a time, and both agents receive its answers. The difference is within a round. Only the job "
    "passes the broker; the stream for replies is already open, as it is with a job at least every "
    "five minutes.",
    _measure,
    plotted=("wall",),
)
