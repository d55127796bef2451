"""The clock that stands still while the event loop is held up, in virtual time."""

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Any, cast

import pytest
from colotrace_proto.running import SETTLE_S, SLICE_S, RunningClock


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as the clock needs; the test moves its time."""

    def __init__(self) -> None:
        self.now = 100.0
        self._numbers = count()
        self._timers: list[tuple[float, int, Handle, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        handle = Handle()
        heapq.heappush(self._timers, (when, next(self._numbers), handle, callback))
        return handle

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        return self.call_at(self.now + delay, callback)

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> Handle:
        return self.call_at(self.now, lambda: callback(*arguments))

    def run(self, seconds: float) -> None:
        """Every timer on time."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            self.now = max(self.now, self._timers[0][0])
            self.passes()
        self.now = until

    def freeze(self, seconds: float) -> None:
        """Nothing runs; what was due then runs in one pass, in its order."""
        self.now += seconds
        self.passes()

    def passes(self) -> None:
        """One pass: the timers that are due now."""
        due = []
        while self._timers and self._timers[0][0] <= self.now:
            due.append(heapq.heappop(self._timers))
        for _, _, handle, callback in due:
            if not handle.cancelled:
                callback()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def clock(loop: Loop) -> RunningClock:
    return RunningClock(cast("asyncio.AbstractEventLoop", loop))


def test_runs_as_the_loop_does(loop: Loop, clock: RunningClock) -> None:
    """Nothing holds the loop up."""
    began = clock.now()
    loop.run(7.3)
    assert clock.now() - began == pytest.approx(7.3)


@pytest.mark.parametrize("frozen_s", [0.4, 3.5, 10.0, 3600.0])
def test_hold_up_does_not_count(loop: Loop, clock: RunningClock, frozen_s: float) -> None:
    """Nor does the time to settle after it; then the clock goes on."""
    loop.run(5.05)
    before = clock.now()
    loop.freeze(frozen_s)
    settle_s = min(frozen_s + SLICE_S / 2, SETTLE_S)
    loop.run(settle_s - 0.05)
    assert clock.now() == before
    loop.run(2.05)
    assert clock.now() - before == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize("left_s", [0.001, 0.06, 1.5])
def test_timer_is_not_judged_before_the_loop_has_settled(
    loop: Loop, clock: RunningClock, left_s: float
) -> None:
    """However little of its time was left when the loop was stopped."""
    fired: list[float] = []
    loop.run(5.0)
    clock.call_at(clock.now() + 3.0, lambda: fired.append(loop.now))
    loop.run(3.0 - left_s)
    loop.freeze(3.5)
    continued = loop.now
    loop.run(5.0)
    assert len(fired) == 1
    assert fired[0] - continued >= SETTLE_S + max(left_s - SLICE_S, 0)
    assert fired[0] - continued <= SETTLE_S + left_s + 0.1


def test_timer_without_a_hold_up_is_on_time(loop: Loop, clock: RunningClock) -> None:
    """To the millisecond that the loop may take."""
    fired: list[float] = []
    due = clock.now() + 3.0
    clock.call_at(due, lambda: fired.append(loop.now))
    loop.run(4.0)
    assert fired == [pytest.approx(due, abs=0.002)]


def test_slightly_late_timer_is_put_off_once(loop: Loop, clock: RunningClock) -> None:
    """A pass that took 0.15 s is no hold-up, but input may wait all the same."""
    fired: list[float] = []
    clock.call_at(clock.now() + 0.05, lambda: fired.append(loop.now))
    loop.freeze(0.15)
    assert fired == []
    loop.run(0.11)
    assert len(fired) == 1


def test_cancelled_timer_does_not_fire(loop: Loop, clock: RunningClock) -> None:
    """Also after it was armed anew because of a hold-up."""
    fired: list[float] = []
    timer = clock.call_at(clock.now() + 1.0, lambda: fired.append(loop.now))
    loop.freeze(3.5)
    timer.cancel()
    loop.run(10.0)
    assert fired == []


@pytest.mark.parametrize("pass_s", [0.3, 0.7, 1.3])
def test_loop_that_is_always_late_still_measures(
    loop: Loop, clock: RunningClock, pass_s: float
) -> None:
    """Otherwise a silent agent would hold its job for ever."""
    before = clock.now()
    for _ in range(1000):
        loop.freeze(pass_s)
    assert clock.now() - before > 1000 * SLICE_S / 15


def test_second_hold_up_while_it_settles(loop: Loop, clock: RunningClock) -> None:
    """What was left of the time to settle is kept."""
    loop.run(5.0)
    before = clock.now()
    loop.freeze(3.5)
    loop.run(0.3)
    loop.freeze(3.5)
    loop.run(0.4)
    assert clock.now() == before


def test_tells_by_how_much_it_falls_behind(loop: Loop, clock: RunningClock) -> None:
    """So that deadlines of the loop's own clock can be kept."""
    told: list[float] = []
    clock.on_held_up(told.append)
    loop.run(5.0)
    behind = loop.time() - clock.now()
    loop.freeze(3.5)
    loop.run(2.0)
    assert sum(told) == pytest.approx(loop.time() - clock.now() - behind)


async def test_timeout_reads_first() -> None:
    """A real loop that was blocked for longer than the timeout: input that waits wins."""
    clock = RunningClock()
    loop = asyncio.get_running_loop()
    came = loop.create_future()
    async with clock.timeout(0.3):
        loop.call_later(0.01, lambda: time.sleep(0.5))
        loop.call_later(0.6, came.set_result, "input")
        assert await came == "input"
    clock.close()


async def test_timeout_ends() -> None:
    """Where nothing comes."""
    clock = RunningClock()
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.01):
            await asyncio.Event().wait()
    clock.close()
