"""The engine alone, warm: from a job's being taken to its last frame."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench.driver import Driver
from bench.figures import BEYOND, Contender, Figure, Run, alternate
from bench.peers import MAX_TTL, PER_TTL, TRACEROUTE
from bench.places import Place
from bench.rows.subject import Subject
from bench.session import Session

_TYPES = ("icmp", "udp", "tcp")


def _measure(session: Session) -> Iterator[Figure]:
    yield from _on(session.routers(), session)
    yield from _on(session.delays(), session)


def _on(place: Place, session: Session) -> Iterator[Figure]:
    session.say(f"engine: {place.work}")
    engine = Driver.engine(place.spawn())
    try:
        contenders: dict[str, Contender] = {
            f"engine, {kind.upper()}": partial(_trace, engine, place, kind) for kind in _TYPES
        }
        contenders[TRACEROUTE.who] = partial(_traceroute, place)
        samples = alternate(contenders, runs=session.runs(30, quick=8))
    finally:
        engine.close()
    for who, taken in samples.items():
        for quantity in taken.runs[0].values:
            note = taken.incomplete if quantity == "wall" else ""
            yield Figure(place.work, who, quantity, "ms", taken.of(quantity), note=note)


def _trace(engine: Driver, place: Place, kind: str) -> Run:
    got = engine.call(
        target=place.target,
        packet_type=kind,
        max_ttl=MAX_TTL,
        packets_per_ttl=PER_TTL,
        wait_ms=1_000,
    )
    return Run(
        {
            "wall": got["wall_ms"],
            BEYOND: got["wall_ms"] - place.longest_ms,
            "longest RTT seen": got["longest_rtt_ms"],
            "CPU": got["cpu_ms"],
        },
        complete=got["replies"] == place.hops * PER_TTL,
    )


def _traceroute(place: Place) -> Run:
    done = place.inside.run(TRACEROUTE.command(place.target))
    return TRACEROUTE.run(done, hops=place.hops, longest_ms=place.longest_ms)


SUBJECT = Subject(
    "engine",
    "One trace of 15 hops, 3 probes a hop, in a running engine",
    "The agent's own prober and jobs without a coordinator, from the job's being taken to its last "
    "frame's being handed over; its CPU is this process's. On kernel routers the path's work is "
    "charged to whoever sends. traceroute is a whole process, from its start to its end.",
    _measure,
    (TRACEROUTE,),
)
