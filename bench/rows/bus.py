"""What it adds to an answer's time that agents are met at a broker."""

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
    """How much more it is by MQTT, of the two runs of each round."""
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
            stack.run("icmp")  # from here on names are known, and the stream for answers is up
        samples = alternate(
            {DIRECT: partial(direct.run, "icmp"), BUS: partial(bus.run, "icmp")},
            runs=session.runs(40),
            warm=not session.quick,
        )
        if direct.shared_jobs() or bus.shared_jobs():
            raise BenchError("two requests were answered by one trace: the figures are void")
    for taken in samples.values():  # of what every row of one trace tells, what says something here
        for run in taken.runs:
            del run.values[BEYOND], run.values["longest RTT seen"]
    yield from figures_of(place.work, samples, {}, {})
    yield added(place.work, samples, "wall")


SUBJECT = Subject(
    "bus",
    "One ICMP trace of 15 hops, 3 probes a hop: what an MQTT broker adds",
    "As in the whole stack, from HTTP to HTTP, with two coordinators and two agents on the same "
    "path, a pair that has a stream and a pair that meets at a Mosquitto; one trace runs at a "
    "time, and both agents hear its answers. The difference is that within a round. The job alone "
    "goes by the broker: a stream to the coordinator is up, as it is while there is something to "
    "do every five minutes.",
    _measure,
    plotted=("wall",),
)
