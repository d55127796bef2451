"""One trace of 15 hops from HTTP to HTTP, beside tracers that are started for it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.figures import BEYOND, BenchError, Contender, Figure, Run, Samples, alternate
from bench.peers import SCAMPER, SCAMPER_PARALLEL, TRACEROUTE, Peer
from bench.places import Place
from bench.rows.subject import Subject
from bench.session import Session
from bench.stack import Stack

_PEERS = (TRACEROUTE, SCAMPER, SCAMPER_PARALLEL)
_US = "colotrace, HTTP to HTTP"
_REACH_MS = 25.0


def _measure(session: Session) -> Iterator[Figure]:
    yield from _on(session.routers(), session)
    yield from _on(session.delays(), session)


def _on(place: Place, session: Session) -> Iterator[Figure]:
    runs = session.runs(30, quick=6)
    with Stack(place) as stack:
        session.say(f"whole stack: {place.work}")
        stack.run()  # the names of the path are known from here on: this is "beyond DNS"
        contenders: dict[str, Contender] = {_US: stack.run}
        for peer in _PEERS:
            try:
                _peer(peer, place)
            except BenchError as error:  # scamper, say, does not start in a user namespace
                session.leave_out(peer.who, error)
            else:
                contenders[peer.who] = partial(_peer, peer, place)
        samples = alternate(contenders, runs=runs)
        if stack.shared_jobs():
            raise BenchError("two requests were answered by one trace: the figures are void")
    yield from _figures(place, samples)


def _peer(peer: Peer, place: Place) -> Run:
    done = place.inside.run(peer.command(place.target))
    return peer.run(done, hops=place.hops, longest_ms=place.longest_ms)


def _figures(place: Place, samples: dict[str, Samples]) -> Iterator[Figure]:
    notes = {peer.who: peer.note for peer in _PEERS}
    for who, taken in samples.items():
        note = "; ".join(filter(None, [notes.get(who, ""), taken.incomplete]))
        for quantity in taken.runs[0].values:
            yield Figure(
                place.work,
                who,
                quantity,
                "ms",
                taken.of(quantity),
                at_most=_REACH_MS if (who, quantity) == (_US, BEYOND) else None,
                note=note if quantity == "wall" else "",
            )


SUBJECT = Subject(
    "whole-stack",
    "One ICMP trace of 15 hops, 3 probes a hop, through the whole stack",
    "A client on a kept connection asks at least 250 ms after its last request, so that no two are "
    "run as one (checked). Names are cached. Client, coordinator, agent and path share the cores. "
    "The longest RTT is the one drawn, not the one seen. Peers are timed from their start to their "
    "end, from inside the namespace; the agent hears their answers too.",
    _measure,
    _PEERS,
)
