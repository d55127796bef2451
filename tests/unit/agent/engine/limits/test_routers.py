"""Routers that limit their answers: who they are, and how they are asked from then on.

The world here: all traces go by the same two routers and one of their own to their targets, a
millisecond a hop. The first router answers as Linux does: six, and then one each second.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from colotrace_agent.engine.engine import Engine
from colotrace_agent.engine.limits.routers import KEPT_NS, SPACING_NS
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import AnswerKind, Heard, Probe, TraceSpec
from colotrace_proto.notices import Notice, NoticeCode
from unit.agent.made import answer

MS, SECOND = 1_000_000, 1_000_000_000
NOW = 9 * SECOND
SOURCE = bytes([192, 0, 2, 1])
LIMITED, SHARED = bytes([198, 18, 1, 1]), bytes([198, 18, 2, 2])
BURST = 6


def target(number: int) -> bytes:
    return bytes([203, 0, 113, number])


@dataclass
class Paths:
    """The engine and its paths in virtual time. `asked` says when probes came to the first router,
    with the target that each was for."""

    engine: Engine = field(default_factory=Engine)
    now: int = NOW
    asked: list[tuple[int, bytes]] = field(default_factory=list)
    level: float = BURST
    level_at: int = NOW
    limits: bool = True
    loss: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(3))

    def trace(self, *numbers: int, packets: int = 3, wait_ns: int = SECOND) -> list[Trace]:
        """Traces these targets side by side, to their end."""
        begun = []
        for number in numbers:
            spec = TraceSpec(target(number), max_ttl=6, packets_per_ttl=packets, wait_ns=wait_ns)
            flow = self.engine.identities.allocate(
                spec, SOURCE, reserve=lambda _: True, now=self.now
            )
            begun.append(self.engine.start(spec, flow, now=self.now))
        coming: list[tuple[int, int, Heard]] = []
        while len(self.engine):
            while coming and coming[0][0] <= self.now:
                at, _, heard = heapq.heappop(coming)
                self.engine.heard(heard, at=at, read_at=self.now)
            self.engine.expire(self.now)
            for trace in (trace for trace in self.engine.changed if trace.ended is not None):
                self.engine.judge_limits(trace)
            self.engine.changed.clear()
            for probe in (probes := self.engine.poll(self.now, most=100)):
                self.engine.sent(probe, at=self.now)
                self.engine.departed(probe, at=self.now)
                if (heard := self._answer(probe)) is not None:
                    at = self.now + min(probe.ttl, 4) * MS
                    heapq.heappush(coming, (at, len(self.asked) * 1_000 + len(coming), heard))
            if probes:
                continue
            times = [self.engine.next_deadline(self.now), coming[0][0] if coming else None]
            ahead = [at for at in times if at is not None]
            if ahead:
                assert min(ahead) > self.now
                self.now = min(ahead)
        return begun

    def _answer(self, probe: Probe) -> Heard | None:
        if self.dice.random() < self.loss:
            return None
        path = [LIMITED, SHARED, bytes([198, 18, 3, probe.flow.target[3]])]
        if probe.ttl > len(path):
            return answer(probe.flow, probe.ordinal, AnswerKind.ECHO_REPLY)
        if probe.ttl == 1:
            self.asked.append((self.now, probe.flow.target))
            self.level = min(BURST, self.level + (self.now - self.level_at) / SECOND)
            self.level_at = self.now
            if self.limits and self.level < 1:
                return None
            self.level -= 1
        return answer(probe.flow, probe.ordinal, responder=path[probe.ttl - 1])


def named(traces: list[Trace]) -> int:
    """How many of them know the first router."""
    return sum(trace.answers[0] > 0 for trace in traces)


def limits_said(trace: Trace) -> bool:
    return Notice(NoticeCode.HOPS_LIMIT, ttls=(1,)) in trace.notices


def test_silence_of_a_router_that_answers_others_is_a_limit() -> None:
    """Of ten traces at once two get answers and eight do not; each of these eight says why."""
    traces = Paths().trace(*range(10))
    assert sorted(trace.answers[0] for trace in traces) == [0] * 8 + [3] * 2
    assert all(limits_said(trace) == (not trace.answers[0]) for trace in traces)
    assert all(trace.answers[ttl - 1] == 3 for trace in traces for ttl in (2, 3, 4))


def test_router_that_never_answers_is_not_reported_as_limiting() -> None:
    paths = Paths(level=-1e9)
    assert not any(trace.notices for trace in paths.trace(*range(10)))


@pytest.mark.parametrize("loss", [0.005, 0.02, 0.05])
def test_loss_on_the_way_is_not_reported_as_a_limit(loss: float) -> None:
    """Hardly in one trace of two hundred, and no router gets fewer probes for it."""
    paths = Paths(limits=False, loss=loss)
    accused = 0
    for _ in range(200):
        (trace,) = paths.trace(1)
        paths.now += 5 * SECOND
        accused += bool(trace.notices)
        assert trace.sent[:4] == [3] * 4
    assert accused <= 6


def test_probes_to_a_known_limiter_are_spaced_and_shared() -> None:
    """From the next request on: 20 ms between any two, and a share for as many traces as
    possible."""
    paths = Paths()
    assert named(paths.trace(*range(10))) == 2
    paths.now += 10 * SECOND
    paths.asked.clear()
    traces = paths.trace(*range(10))
    times = [at for at, _ in paths.asked]
    assert len(times) == 10
    assert all(later - at >= SPACING_NS for at, later in pairwise(times))
    assert named(traces) == BURST
    assert [trace.sent[0] for trace in traces] == [1] * 10
    spared = Notice(NoticeCode.HOPS_SPARED, ttls=(1,))
    assert all(spared in trace.notices for trace in traces)
    assert all(trace.sent[1] == 3 for trace in traces)


def test_new_target_behind_a_known_limiter_is_spaced_too() -> None:
    """The limiter is the only router ever seen at that TTL."""
    paths = Paths()
    paths.trace(*range(10))
    paths.now += 10 * SECOND
    paths.asked.clear()
    (trace,) = paths.trace(77)
    (first, second, third) = [at for at, _ in paths.asked]
    assert min(second - first, third - second) >= SPACING_NS
    assert trace.answers[0] == 3
    assert trace.notices == ()


def test_probe_that_would_wait_too_long_is_spared() -> None:
    """Traces without a place in the queue within their patience go without the hop, and count no
    loss."""
    paths = Paths()
    paths.trace(*range(10))
    paths.now += 10 * SECOND
    traces = paths.trace(*range(10, 20), wait_ns=100 * MS)
    assert sorted(trace.sent[0] for trace in traces) == [0] * 5 + [1] * 5
    assert all(trace.reached for trace in traces)


def test_limits_expire() -> None:
    """Ten minutes after they were last seen."""
    paths = Paths()
    paths.trace(*range(10))
    paths.limits = False
    paths.now += KEPT_NS - 10 * SECOND
    paths.asked.clear()
    paths.trace(1)
    assert paths.asked[1][0] - paths.asked[0][0] >= SPACING_NS
    paths.now += 20 * SECOND
    paths.asked.clear()
    paths.trace(1)
    assert paths.asked[0][0] == paths.asked[2][0]


def test_nothing_is_kept_of_ended_traces() -> None:
    """Neither of those that waited nor of those that sent."""
    paths = Paths()
    paths.trace(*range(10))
    paths.trace(*range(10))
    assert len(paths.engine) == 0
    assert paths.engine.next_deadline(paths.now) is None


def test_stopped_trace_has_nothing_waiting() -> None:
    paths = Paths()
    paths.trace(*range(10))
    spec = TraceSpec(target(1), max_ttl=6, packets_per_ttl=10)
    flow = paths.engine.identities.allocate(spec, SOURCE, reserve=lambda _: True, now=paths.now)
    trace = paths.engine.start(spec, flow, now=paths.now)
    for probe in paths.engine.poll(paths.now, most=100):
        paths.engine.sent(probe, at=paths.now)
    paths.engine.stop(trace, now=paths.now)
    sent = sum(trace.sent)
    paths.now += SECOND
    assert paths.engine.poll(paths.now, most=100) == []
    assert sum(trace.sent) == sent
