"""One trace of 15 hops in a running engine and a running agent, beside every other tracer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.figures import BEYOND, Figure, Measurement, alternate, figures_of
from bench.peers import ONE_TRACE, TRACEROUTE
from bench.places import Place
from bench.rows import warm
from bench.rows.subject import Subject
from bench.session import Session

_BEYOND_MS = 1.5


def _measure(session: Session) -> Iterator[Figure]:
    for place in session.paths():
        figures = list(_on(place, session))
        yield from _bounded(figures) if place is session.delays() else figures


def _on(place: Place, session: Session) -> Iterator[Figure]:
    session.say(f"engine: {place.work}")
    with warm.measurements(place, types=warm.TYPES[: session.runs(3)]) as ours:
        measurements: dict[str, Measurement] = dict(ours)
        measurements |= {peer.label: partial(peer.run, place) for peer in ONE_TRACE}
        slow = {peer.label: session.runs(4, quick=0) for peer in ONE_TRACE if peer.slow}
        notes = {peer.label: peer.note for peer in ONE_TRACE}
        samples = alternate(
            measurements, runs=session.runs(25), seldom=slow, may_fail=notes, warm=not session.quick
        )
    yield from figures_of(place.work, samples, {}, notes)


def _bounded(figures: list[Figure]) -> Iterator[Figure]:
    """Add bounds: faster than every peer, and no more CPU than traceroute."""
    peers = [each for each in figures if not warm.ours(each.label) and each.samples]
    fastest = min((each for each in peers if each.quantity == "wall"), key=lambda each: each.median)
    cpu = [
        each.median for each in peers if (each.label, each.quantity) == (TRACEROUTE.label, "CPU")
    ]
    for figure in figures:
        if not warm.ours(figure.label):
            yield figure
        elif figure.quantity == BEYOND:
            yield figure.bounded(at_most=_BEYOND_MS)
        elif figure.quantity == "wall":
            yield figure.bounded(at_most=fastest.median, note=f"the fastest peer: {fastest.label}")
        elif figure.quantity == "CPU" and cpu:
            yield figure.bounded(at_most=cpu[0], note="traceroute's whole process")
        else:
            yield figure


SUBJECT = Subject(
    "engine",
    "One trace of 15 hops, 3 probes a hop, in a running engine",
    "Engine: the agent's prober and jobs without a coordinator, from admission of the job to its "
    "last frame; CPU time of that process. Agent: `colotrace-agent run` with a stream, from the "
    "arrival of Accepted to the arrival of the last frame; its CPU time includes the stream. The "
    "CPU time of kernel routers counts for the sender. Programs are timed from start to exit; for "
    "libraries only the second call is timed. Limits: the longest RTT; the rest is the tracer's "
    "own time.",
    _measure,
    ONE_TRACE,
    plotted=("wall", "CPU"),
)
