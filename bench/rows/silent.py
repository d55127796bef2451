"""Time of a trace with silent hops, and with a silent target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from bench.figures import Figure, Measurement, alternate, figures_of
from bench.peers import (
    ICMPLIB,
    MTR,
    ONE_TRACE,
    PYCARACAL,
    SCAMPER,
    SCAMPER_PARALLEL,
    SR,
    TRACEROUTE,
    Peer,
)
from bench.places import HOLES, MUTE, user_space
from bench.responder import Network
from bench.rows import warm
from bench.rows.subject import Subject
from bench.session import Session

_HOLES = "4 silent hops, target at 4.5 ms, wait 1 s"
_MUTE = "silent target, max_ttl 30, wait 1 s"
_PEERS = (TRACEROUTE, SCAMPER_PARALLEL, MTR, ICMPLIB, SR, PYCARACAL)


def _measure(session: Session) -> Iterator[Figure]:
    # scamper -Q takes a minute for a silent target, so it runs only with silent hops.
    peers = () if session.quick else _PEERS
    yield from _on(session, HOLES, _HOLES, peers=(*peers, SCAMPER), max_ttl=15, at_most=400)
    yield from _on(session, MUTE, _MUTE, peers=peers, max_ttl=30, at_most=1_100)


def _on(
    session: Session,
    network: Network,
    work: str,
    *,
    peers: tuple[Peer, ...],
    max_ttl: int,
    at_most: float,
) -> Iterator[Figure]:
    session.say(work)
    answers = network.distance + (not network.silent_target) - len(network.silent)
    notes = {peer.label: peer.note for peer in peers}
    slow = {each.label: session.runs(1, quick=0) for each in peers if each is not TRACEROUTE}
    with ExitStack() as stack:
        place = stack.enter_context(user_space(network, work))
        ours = warm.measurements(
            place,
            max_ttl=max_ttl,
            answers=answers,
            types=warm.TYPES[: session.runs(3)],
            wait_ms=session.runs(1_000, quick=100),
        )
        measurements: dict[str, Measurement] = dict(stack.enter_context(ours))
        for peer in peers:
            measurements[peer.label] = partial(peer.run, place, max_ttl=max_ttl, answers=answers)
        samples = alternate(
            measurements, runs=session.runs(4), seldom=slow, may_fail=notes, warm=False
        )
    for figure in figures_of(work, samples, {}, notes):
        bounded = warm.ours(figure.label) and figure.quantity == "wall"
        yield figure.bounded(at_most=at_most) if bounded else figure


SUBJECT = Subject(
    "silent",
    "One trace with silent hops, and one with a silent target",
    "As the rows of `engine`, with the user-space responder. Limits: the wait for silent hops, at "
    "most 1 s; it can be shorter if later hops have answered.",
    _measure,
    ONE_TRACE,
    plotted=("wall",),
)
