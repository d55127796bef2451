"""A clock that measures only the time during which the event loop was running.

Why: a process that was stopped (SIGSTOP), starved of CPU or blocked finds its timers overdue when
it continues, while what others have sent meanwhile still waits in its sockets. A deadline by which
somebody else has to be heard from must then not be judged before that input has been read.

Rules, which hold for every deadline on this clock:

1. A gap of more than `LATE_S` between two ticks of the loop is a hold-up. Its time does not count.
2. After a hold-up the clock stands still for as long as the hold-up took, at most `SETTLE_S`. In
   that time the loop makes about ten passes, and reads what has come in. gRPC hands on what it has
   read through a thread and a queue, so one pass would not be enough.
3. A timer that fires more than `PUNCTUAL_S` late, though not held up, is put off once by as much.
4. The clock does not stand still for ever: in a loop that is always late, each pass counts as
   `SLICE_S`, and serves as much of the time to settle.

Time in which nothing needs to be heard (an answer's own deadline, the age of a cache) is measured
by the loop's clock.
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
"""`RunningClock.timeout`, or `asyncio.timeout` where hold-ups do not matter."""


class RunningTimer:
    """A callback at an instant of a `RunningClock`."""

    __slots__ = ("_callback", "_clock", "_due", "_expected", "_handle", "_put_off")

    def __init__(self, clock: "RunningClock", due: float, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._due = due
        self._callback = callback
        self._put_off = False
        self._arm(clock.left_s(due))

    def cancel(self) -> None:
        """Do not call back."""
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
    """See the module. To be made inside a running event loop; `close` ends its ticks."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self._listeners: list[HeldUp] = []
        # On the loop's clock: the last tick, and until when this clock stands still.
        self._ticked_at = self.loop.time()
        self._still_until = self._ticked_at - 2 * SETTLE_S
        # On this clock: at the last tick, and the latest instant that was told.
        self._base = self._now = self._ticked_at
        self._timer = self.loop.call_later(SLICE_S, self._tick)

    def close(self) -> None:
        """End the ticks; the clock is of no use afterwards."""
        self._timer.cancel()

    def on_held_up(self, listener: HeldUp) -> None:
        """Have `listener` called after each hold-up, with the seconds by which this clock falls
        behind the loop's for it."""
        self._listeners.append(listener)

    def now(self) -> float:
        """Seconds; never goes back. Its zero is the loop's, less all hold-ups."""
        real = self.loop.time()
        if real - self._ticked_at > LATE_S:
            self._held_up(real)
        passed_s = real - max(self._ticked_at, self._still_until)
        self._now = max(self._now, self._base + passed_s)
        return self._now

    def left_s(self, due: float) -> float:
        """Seconds until `due` by the loop's clock, if there is no further hold-up; 0 once it has
        come. Never so little that a wait for it would not let the clock go on."""
        left_s = due - self.now()
        if left_s <= 0:
            return 0.0
        return max(left_s + max(0.0, self._still_until - self.loop.time()), 0.001)

    def call_at(self, due: float, callback: Callable[[], None]) -> RunningTimer:
        """Call back as soon as it is `due` on this clock."""
        return RunningTimer(self, due, callback)

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """As `asyncio.timeout`, by this clock.

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
        if self._still_until > self._ticked_at:  # it has not settled since the one before
            settle_s = max(self._still_until - self._ticked_at - SLICE_S, 0.0)
        elif gap_s <= SETTLE_S and self._ticked_at - self._still_until <= SETTLE_S:
            settle_s = 0.0  # it is always late
        if settle_s == 0.0:
            counted_s = SLICE_S
        self._base = self._now = self._now + counted_s
        self._ticked_at, self._still_until = real, real + settle_s
        lost_s = gap_s - counted_s + settle_s
        for listener in self._listeners:
            self.loop.call_soon(listener, lost_s)
