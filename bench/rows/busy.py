"""Latency of a small trace while many others use up the agent's packet budget."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

from bench.driver import Driver
from bench.figures import Figure, Run, Samples, figures_of
from bench.peers import MAX_TTL, PER_TTL
from bench.places import DELAYS, Place, user_space
from bench.rows import warm
from bench.rows.subject import Subject
from bench.session import Session

_LARGE, _LARGE_PER_TTL = 20, 10
_ALIKE = 200
_SETTLED_S = 2.0
_WAIT_MS = 1_000
_SENT = "probes a second meanwhile"
_QUIET = "nothing else runs"
# Concurrent jobs: their number, and their probes for each hop.
_OTHERS = {
    f"{_LARGE} jobs of {MAX_TTL * _LARGE_PER_TTL} probes at a time run": (_LARGE, _LARGE_PER_TTL),
    f"{_ALIKE} jobs like it at a time run": (_ALIKE, PER_TTL),
}


def _measure(session: Session) -> Iterator[Figure]:
    work = "one ICMP trace of 15 hops, 3 probes a hop, in a running agent"
    with (
        user_space(DELAYS, work) as place,
        closing(Driver.agent(place.spawn)) as agent,
    ):
        session.say("busy: a small trace alone, and among others")
        samples = {each: Samples() for each in (_QUIET, *_OTHERS)}
        runs = session.runs(15)
        samples[_QUIET].runs = _traces(agent, place, runs)
        for label, (at_once, per_ttl) in _OTHERS.items():
            agent.call(
                do="flood",
                at_once=5 if session.quick else at_once,
                packet_type="icmp",
                max_ttl=MAX_TTL,
                packets_per_ttl=per_ttl,
                wait_ms=_WAIT_MS,
            )
            time.sleep(0.1 if session.quick else _SETTLED_S)
            samples[label].runs = _traces(agent, place, runs)
            agent.call(do="calm")
    yield from figures_of(work, samples, {_SENT: "/s"}, {})


def _traces(agent: Driver, place: Place, runs: int) -> list[Run]:
    found = []
    for _ in range(runs):
        before, began = _count(place), time.monotonic()
        run = warm.trace(agent, place, "icmp", max_ttl=MAX_TTL, wanted=place.hops * PER_TTL)
        run.values[_SENT] = (_count(place) - before) / (time.monotonic() - began)
        del run.values["CPU"]
        found.append(run)
        time.sleep(0.05)
    return found


def _count(place: Place) -> int:
    return place.responder.count if place.responder else 0


SUBJECT = Subject(
    "busy",
    "A small trace while many others use up the packet budget",
    "A running agent with its default budgets. A fixed number of jobs to random targets runs all "
    "the time, and the small trace runs among them. Limits: the budgets of all packets and of "
    "packets to the nearest routers (5,000 and 1,000 a second). Equal jobs have equal priority, so "
    "their latency follows from their number and rate (Little's law).",
    _measure,
    plotted=(warm.SENT,),
)
