"""One trace of 15 hops from HTTP request to answer, beside other tracers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.figures import BEYOND, BenchError, Figure, Measurement, alternate, figures_of
from bench.peers import SCAMPER_PARALLEL, TRACEROUTE
from bench.places import Place
from bench.rows.subject import Subject
from bench.rows.warm import TYPES
from bench.session import Session
from bench.stack import stack_on

_PEERS = (TRACEROUTE, SCAMPER_PARALLEL)
_US = "colotrace, HTTP to HTTP, "
_BEYOND_MS = 5.0


def _measure(session: Session) -> Iterator[Figure]:
    for place in session.paths():
        for figure in _on(place, session):
            ours = figure.label.startswith(_US) and figure.quantity == BEYOND
            bounded = ours and place is session.delays()
            yield figure.bounded(at_most=_BEYOND_MS) if bounded else figure


def _on(place: Place, session: Session) -> Iterator[Figure]:
    with stack_on(place) as stack:
        session.say(f"whole stack: {place.work}")
        stack.run("icmp")  # fills the cache of names, so that DNS is not measured
        measurements: dict[str, Measurement] = {
            f"{_US}{kind.upper()}": partial(stack.run, kind)
            for kind in TYPES[: session.runs(len(TYPES))]
        }
        measurements |= {peer.label: partial(peer.run, place) for peer in _PEERS}
        notes = {peer.label: peer.note for peer in _PEERS}
        samples = alternate(
            measurements, runs=session.runs(25), may_fail=notes, warm=not session.quick
        )
        if stack.shared_jobs():
            raise BenchError("two requests were answered by one trace: the figures are void")
    yield from figures_of(place.work, samples, {}, notes)


SUBJECT = Subject(
    "whole-stack",
    "One trace of 15 hops, 3 probes a hop, through the whole stack",
    "A client with a persistent connection sends each request at least 210 ms after the last "
    "answer, so that no two requests share a job (checked). Names are cached. Client, coordinator, "
    "agent and path share the cores. The longest RTT is the one in the answer, for peers the "
    "configured one. Peers are timed from start to exit, inside the namespace; the agent receives "
    "their answers, too. Limits: the longest RTT, and switches between two processes.",
    _measure,
    _PEERS,
    plotted=("wall",),
)
