"""Runs blocking look-ups in threads, with bounds on their number, time and rate.

The C library's resolver cannot be interrupted. If name servers do not answer, a look-up occupies
its thread for the timeout of resolv.conf, by default 10 s for each server and search domain.
Therefore the number of threads is bounded, callers have a timeout, callers with the same key share
a look-up, and a queued look-up without waiting callers is skipped. The threads are daemons, so that
a process that ends does not wait for them.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from colotrace_agent.errors import AgentError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class LookupQueueFullError(AgentError):
    """The look-up is refused: the queue is full, or no thread can be started."""


class Pace:
    """A rate limit: `rate` a second, with a burst of one second; None is no limit. Times are in
    seconds on a monotonic clock."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._next_at = 0.0

    def pause_s(self, now: float) -> float:
        """Reserve the time of the next look-up; returns how long to wait for it."""
        if self._rate is None:
            return 0.0
        self._next_at = max(self._next_at, now - 1.0) + 1.0 / self._rate
        return max(self._next_at - now, 0.0)


class _Question(Generic[K, T]):
    """One look-up: its key, the number of waiting callers, the future for the result, and whether a
    thread has started it."""

    __slots__ = ("answer", "key", "started", "waiters")

    def __init__(self, key: K, answer: asyncio.Future[T]) -> None:
        self.key = key
        self.answer = answer
        self.waiters = 0
        self.started = False


class Lookups(Generic[K, T]):
    """Calls `function` for keys. Create and use it on one event loop.

    `threads` bounds concurrent calls, `most_waiting` queued look-ups; `rate` bounds calls a second,
    with a burst of one second. A thread that is idle for `idle_s` ends.
    """

    def __init__(
        self,
        function: Callable[[K], T],
        *,
        threads: int,
        name: str,
        rate: float | None = None,
        most_waiting: int = 20_000,
        idle_s: float = 10.0,
    ) -> None:
        self._function = function
        self._most, self._most_waiting, self._idle_s = threads, most_waiting, idle_s
        self._name = name
        self._pace = Pace(rate)
        self._loop = asyncio.get_running_loop()
        self._open: dict[K, _Question[K, T]] = {}
        # Shared with the threads, under the condition's lock.
        self._changed = threading.Condition()
        self._waiting: deque[_Question[K, T]] = deque()
        self._threads = self._idle = 0
        self._closed = False

    async def ask(self, key: K, *, within_s: float) -> T:
        """The function's result for this key, or its exception.

        Raises:
            TimeoutError: there was no result within `within_s`.
            LookupQueueFullError: the queue is full, or no thread can be started.
        """
        question = self._open.get(key) or _Question[K, T](key, self._loop.create_future())
        question.waiters += 1
        try:
            if key not in self._open:
                self._put(question)
                self._open[key] = question
            async with asyncio.timeout(within_s):
                return await asyncio.shield(question.answer)
        finally:
            question.waiters -= 1
            if not question.waiters:
                self._abandon(question)

    def close(self) -> None:
        """End idle threads now, and busy threads after their call."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _put(self, question: _Question[K, T]) -> None:
        with self._changed:
            if len(self._waiting) >= self._most_waiting:
                self._waiting = deque(each for each in self._waiting if each.waiters)
            if len(self._waiting) >= self._most_waiting:
                raise LookupQueueFullError(f"{self._most_waiting} other look-ups wait")
            self._waiting.append(question)
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._threads < self._most:
                self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                self._waiting.pop()
                raise LookupQueueFullError("this host allows the agent no further thread") from None
        else:
            self._threads += 1

    def _abandon(self, question: _Question[K, T]) -> None:
        """Forget a look-up without callers that has not started, so that no caller joins it."""
        with self._changed:
            if not question.started:
                self._open.pop(question.key, None)

    # In a thread.

    def _work(self) -> None:
        while (question := self._next()) is not None:
            with self._changed:
                question.started = question.waiters > 0
            if not question.started:
                continue
            answer: Callable[[], None]
            try:
                answer = partial(self._answered, question, self._function(question.key))
            except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
                answer = partial(self._failed, question, error)
            try:
                self._loop.call_soon_threadsafe(answer)
            except RuntimeError:  # the loop has ended
                return

    def _next(self) -> _Question[K, T] | None:
        """Take the next look-up, sleep until the rate allows it, and return it; None if this thread
        should end."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    self._threads -= 1
                    return None
                self._idle += 1
                woken = self._changed.wait(self._idle_s)
                self._idle -= 1
                if not (woken or self._waiting):
                    self._threads -= 1
                    return None
            question = self._waiting.popleft()
            pause_s = self._pace.pause_s(time.monotonic())
        if pause_s > 0:
            time.sleep(pause_s)
        return question

    # On the loop.

    def _answered(self, question: _Question[K, T], result: T) -> None:
        del self._open[question.key]
        question.answer.set_result(result)

    def _failed(self, question: _Question[K, T], error: Exception) -> None:
        del self._open[question.key]
        question.answer.set_exception(error)
        question.answer.exception()  # mark as retrieved: there may be no caller left
