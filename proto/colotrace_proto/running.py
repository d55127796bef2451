"""A clock that measures only the time during which the event loop was running.

A process may be stopped (SIGSTOP), blocked, or get no CPU. When it continues, its timers are
overdue, while messages from its peers still wait in its sockets. A timeout for a peer's message
must not be judged before these messages have been read.

Rules for all deadlines on this clock:

1. A gap of more than `LATE_S` between two ticks of the loop is a stall. Its time does not count.
2. After a stall the clock stops for as long as the stall took, at most `SETTLE_S`. In that time the
   loop makes about ten passes and reads waiting input. One pass would not be enough, since gRPC
   passes input on through a thread and a queue.
3. A timer that fires more than `PUNCTUAL_S` late without a stall is postponed once, by its delay.
4. The clock does not stop forever. In a loop that is always late, each pass counts as `SLICE_S`,
   and also reduces the time to settle by `SLICE_S`.

Use the loop's clock for deadlines that do not depend on a peer (that of an answer, the age of a
cache).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

SLICE_S = 0.1
"""Interval of the ticks."""
LATE_S = 0.2
SETTLE_S = 1.0
PUNCTUAL_S = 0.02

HeldUp = Callable[[float], None]
TimeLimit = Callable[[float], AbstractAsyncContextManager[asyncio.Timeout]]
"""`RunningClock.timeout`, or `asyncio.timeout` where stalls do not matter."""


class RunningTimer:
    """A callback at a time on a `RunningClock`."""

    __slots__ = ("_callback", "_clock", "_due", "_expected", "_handle", "_put_off")

    def __init__(self, clock: "RunningClock", due: float, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._due = due
        self._callback = callback
        self._put_off = False
        self._arm(clock.left_s(due))

    def cancel(self) -> None:
        """Cancel the callback."""
        self._handle.cancel()

    def _arm(self, seconds: float) -> None:
        loop = self._clock.loop
        self._expected = loop.time() + seconds
        self._handle = loop.call_at(self._expected, self._fire)

    def _fire(self) -> None:
        late_s = self._clock.loop.time() - self._expected
        if (left_s := self._clock.left_s(self._due)) > 0:
            self._arm(left_s)
        elif late_s > PUNCTUAL_S and not self._put_off:
            self._put_off = True
            self._arm(min(late_s, LATE_S))
        else:
            self._callback()


class RunningClock:
    """See the module. Create it inside a running event loop; `close` stops its ticks."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self._listeners: list[HeldUp] = []
        # On the loop's clock: the last tick, and the end of the stop after a stall.
        self._ticked_at = self.loop.time()
        self._still_until = self._ticked_at - 2 * SETTLE_S
        # On this clock: the time of the last tick, and the last value returned.
        self._base = self._now = self._ticked_at
        self._timer = self.loop.call_later(SLICE_S, self._tick)

    def close(self) -> None:
        """Stop the ticks; the clock cannot be used afterwards."""
        self._timer.cancel()

    def on_held_up(self, listener: HeldUp) -> None:
        """Call `listener` after each stall, with the seconds that this clock loses against the
        loop's clock."""
        self._listeners.append(listener)

    def now(self) -> float:
        """Monotonic seconds: the loop's time minus all stalls."""
        real = self.loop.time()
        if real - self._ticked_at > LATE_S:
            self._held_up(real)
        # Several times a message: comparisons take less time than calls of `max`.
        since = self._ticked_at if self._ticked_at > self._still_until else self._still_until
        now = self._base + real - since
        if now > self._now:
            self._now = now
        return self._now

    def left_s(self, due: float) -> float:
        """Seconds on the loop's clock until `due`, without further stalls; 0 if it has passed,
        otherwise at least 1 ms, so that the clock advances during a wait."""
        left_s = due - self.now()
        if left_s <= 0:
            return 0.0
        return max(left_s + max(0.0, self._still_until - self.loop.time()), 0.001)

    def call_at(self, due: float, callback: Callable[[], None]) -> RunningTimer:
        """Call back at the time `due` on this clock."""
        return RunningTimer(self, due, callback)

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """Like `asyncio.timeout`, on this clock.

        Raises:
            TimeoutError: the time ran out.
        """
        async with asyncio.timeout(None) as scope:

            def expire() -> None:
                if not scope.expired():
                    scope.reschedule(self.loop.time())

            end = self.call_at(self.now() + seconds, expire)
            try:
                yield scope
            finally:
                end.cancel()

    def _tick(self) -> None:
        self._base = self.now()
        self._ticked_at = self.loop.time()
        self._timer = self.loop.call_later(SLICE_S, self._tick)

    def _held_up(self, real: float) -> None:
        gap_s = real - self._ticked_at
        counted_s, settle_s = 0.0, min(gap_s, SETTLE_S)
        if self._still_until > self._ticked_at:  # not settled since the previous stall
            settle_s = max(self._still_until - self._ticked_at - SLICE_S, 0.0)
        elif gap_s <= SETTLE_S and self._ticked_at - self._still_until <= SETTLE_S:
            settle_s = 0.0  # a loop that is always late
        if settle_s == 0.0:
            counted_s = SLICE_S
        self._base = self._now = self._now + counted_s
        self._ticked_at, self._still_until = real, real + settle_s
        lost_s = gap_s - counted_s + settle_s
        for listener in self._listeners:
            self.loop.call_soon(listener, lost_s)
