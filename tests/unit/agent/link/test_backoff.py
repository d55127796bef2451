"""Pauses and timeouts of attempts to attach, and what they do to an overloaded coordinator."""

import heapq
import random
from dataclasses import dataclass, field

from colotrace_agent.link.backoff import (
    ATTEMPT_S,
    MAX_ATTEMPT_S,
    MAX_PAUSE_S,
    MAX_SLOW_PAUSE_S,
    MIN_PAUSE_S,
    REFUSED_PAUSE_S,
    SPREAD_S,
    BackOff,
)
from colotrace_proto.deadlines import RECONNECT_S


def _longest(_low: float, high: float) -> float:
    return high


def test_pauses_grow_up_to_a_bound() -> None:
    back_off = BackOff(uniform=_longest)
    pauses = [back_off.failed(0.0) for _ in range(8)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 2 * MIN_PAUSE_S
    assert pauses[-1] == MAX_PAUSE_S
    assert back_off.detached(busy=True) == MIN_PAUSE_S
    assert back_off.failed(0.0) == 2 * MIN_PAUSE_S


def test_attempts_may_take_longer_after_each_that_failed() -> None:
    back_off = BackOff()
    assert back_off.attempt_s == ATTEMPT_S
    back_off.failed(0.0)
    assert back_off.attempt_s == 2 * ATTEMPT_S
    for _ in range(5):
        back_off.failed(0.0)
    assert back_off.attempt_s == MAX_ATTEMPT_S
    back_off.detached(busy=False)
    assert back_off.attempt_s == ATTEMPT_S


def test_pause_is_longer_after_a_slow_attempt() -> None:
    back_off = BackOff(uniform=_longest)
    assert back_off.failed(3.0) == 3.0
    assert back_off.failed(60.0) == MAX_SLOW_PAUSE_S


def test_pause_after_a_refusal_is_long() -> None:
    assert BackOff(uniform=_longest).refused() == REFUSED_PAUSE_S


def test_first_attempts_are_spread_unless_jobs_run() -> None:
    """An agent with jobs attaches before the coordinator gives them up."""
    draw = random.Random(1)
    idle = [BackOff(uniform=draw.uniform).detached(busy=False) for _ in range(1_000)]
    for tenth in range(10):
        within = [each for each in idle if tenth <= 10 * each / SPREAD_S < tenth + 1]
        assert 50 < len(within) < 200
    busy = [BackOff(uniform=draw.uniform).detached(busy=True) for _ in range(1_000)]
    assert max(busy) < RECONNECT_S / 4


@dataclass(order=True)
class _Agent:
    """When it begins its next attempt, in seconds."""

    begins_at: float
    back_off: BackOff = field(compare=False)


def test_all_attach_though_their_handshakes_take_longer_than_the_first_timeout() -> None:
    """A coordinator that works on all handshakes at once, so that all of them are slow."""
    agents, rate, step_s = 1_000, 60.0, 0.05
    draw = random.Random(1)
    pausing = [_Agent(draw.uniform(0.0, SPREAD_S), BackOff(uniform=draw.uniform))
               for _ in range(agents)]  # fmt: skip
    heapq.heapify(pausing)
    working: list[tuple[_Agent, float]] = []  # with the seconds of work done for it
    attached, now = 0, 0.0
    assert agents / rate > ATTEMPT_S
    while attached < agents:
        now += step_s
        assert now < 60.0
        while pausing and pausing[0].begins_at <= now:
            working.append((heapq.heappop(pausing), 0.0))
        share = step_s * rate / max(len(working), 1)
        still = []
        for agent, done in working:
            if done + share >= 1.0:
                attached += 1
            elif now - agent.begins_at > agent.back_off.attempt_s:
                agent.begins_at = now + agent.back_off.failed(now - agent.begins_at)
                heapq.heappush(pausing, agent)
            else:
                still.append((agent, done + share))
        working = still
