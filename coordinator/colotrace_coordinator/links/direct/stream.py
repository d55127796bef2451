"""One agent's stream: its send queue, its receive loop, its heartbeats, and how it ends.

An idle stream has two tasks and one timer, since there may be thousands of them.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence

import grpc
from colotrace_proto.codec.batches import MAX_ORDERS, Order
from colotrace_proto.messages import Ack, FromAgent, FromCoordinator, Heartbeat, JobId
from colotrace_proto.running import RunningClock

from colotrace_coordinator.errors import CoordinatorError
from colotrace_coordinator.turns import Turns

MAX_QUEUED = 4_096
"""Bound of the send queue; a stream whose agent does not read is ended beyond it."""
ACK_INTERVAL_S = 0.2
"""How long acknowledgements wait for another message to travel with, or for one another."""
SILENT_INTERVALS = 3
HEARTBEAT_JITTER = 0.2
"""Heartbeat intervals vary by this share, so that those of agents that attached together spread."""
LAST_WRITE_S = 1.0
BLOCKED_S = 1.0
"""A stream that has not taken a message for this long is blocked."""


class StreamClosedError(CoordinatorError):
    """The stream is to end with this status."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class AgentStream:
    """The state of one stream. Call `run` once.

    `read` returns the next messages, which arrived as one; it raises `StreamClosedError` when the
    agent has closed its side, and so does the iterator if a message is invalid. `write` returns
    when the transport has taken the messages, and raises the same if the transport has ended.
    `batches`: whether the agent takes several messages as one.
    """

    def __init__(
        self,
        *,
        read: Callable[[], Awaitable[Iterator[FromAgent]]],
        write: Callable[[Sequence[FromCoordinator]], Awaitable[None]],
        heartbeat_s: float,
        clock: RunningClock,
        turns: Turns,
        batches: bool,
    ) -> None:
        self._read = read
        self._turns = turns
        self._write = write
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._batches = batches
        self._loop = asyncio.get_running_loop()
        self._queue: deque[FromCoordinator] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._end: asyncio.Future[StreamClosedError] = self._loop.create_future()
        self._acks: dict[JobId, Ack] = {}
        self._ack_timer: asyncio.TimerHandle | None = None
        self._heard_at = clock.now()
        self._heartbeat_at = self._loop.time() + self._interval_s()
        self._timer: asyncio.TimerHandle | None = None
        self._writing_since: float | None = None

    @property
    def waiting(self) -> int:
        """Messages in the send queue."""
        return len(self._queue)

    @property
    def blocked(self) -> bool:
        """Whether the transport has not taken a message for `BLOCKED_S`, by the loop's clock."""
        since = self._writing_since
        return since is not None and self._loop.time() - since >= BLOCKED_S

    @property
    def trouble(self) -> str:
        """Why this side has ended the stream, as text; "" if it has not."""
        closed = self._end.result() if self._end.done() else None
        return closed.detail if closed and closed.code is not grpc.StatusCode.OK else ""

    def send(self, message: FromCoordinator) -> None:
        """Queue a message."""
        if self._closing:
            return
        if len(self._queue) >= MAX_QUEUED:
            self.end(grpc.StatusCode.RESOURCE_EXHAUSTED, "the agent does not read what it is sent")
            return
        self._queue.append(message)
        self._wake.set()

    def ack(self, ack: Ack, *, at_once: bool = False) -> None:
        """Queue an acknowledgement, the last one of each job. Unless `at_once`, it is sent with the
        next message, or after `ACK_INTERVAL_S`."""
        if at_once:
            self.send(ack)
            return
        self._acks[ack.job_id] = ack
        if self._ack_timer is None:
            self._ack_timer = self._loop.call_later(ACK_INTERVAL_S, self._flush_acks)

    def end(self, code: grpc.StatusCode, detail: str) -> None:
        """End the stream with this status; only the first call has an effect."""
        if not self._end.done():
            self._end.set_result(StreamClosedError(code, detail))

    async def run(
        self,
        first: FromCoordinator,
        *,
        heard: Callable[[FromAgent], None],
        ended: Callable[[], None],
    ) -> StreamClosedError:
        """Send `first`, then serve the stream until it ends; returns the status it ended with.

        `ended` is called as soon as the end is known, also if the call is cancelled.
        """
        self._queue.appendleft(first)
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._send_all(), name="agent stream: send")
            reader = tasks.create_task(self._receive_all(heard), name="agent stream: receive")
            try:
                self._watch()
                await asyncio.wait([self._end])  # lets the writer begin even if the end is known
                closed = self._end.result()
            finally:
                reader.cancel()
                for timer in (self._timer, self._ack_timer):
                    if timer is not None:
                        timer.cancel()
                # Last, what frees the agent of jobs that have ended.
                self._queue.clear()
                self._queue.extend(self._acks.values())
                self._acks.clear()
                self._closing = True
                self._wake.set()
                ended()
            # gRPC cannot send a status during a write.
            await asyncio.wait([writer], timeout=LAST_WRITE_S)
            writer.cancel()
        return closed

    async def _receive_all(self, heard: Callable[[FromAgent], None]) -> None:
        try:
            while True:
                messages = await self._read()
                self._heard_at = self._clock.now()
                await self._turns.run(map(heard, messages))
        except StreamClosedError as closed:
            self.end(closed.code, closed.detail)

    async def _send_all(self) -> None:
        try:
            while True:
                while self._queue:
                    self._writing_since = self._loop.time()
                    await self._write(self._due_together())
                    self._writing_since = None
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
        except StreamClosedError as closed:
            self.end(closed.code, closed.detail)

    def _due_together(self) -> Sequence[FromCoordinator]:
        """The next messages to write: one, or several that can be in one batch."""
        queue = self._queue
        due = [queue.popleft()]
        if self._batches and isinstance(due[0], Order):
            while queue and len(due) < MAX_ORDERS and isinstance(queue[0], Order):
                due.append(queue.popleft())
            if len(due) + len(self._acks) <= MAX_ORDERS:
                due += self._acks.values()
                self._acks.clear()
        return due

    def _watch(self) -> None:
        """Send a heartbeat if one is due; end the stream if the agent's are missing."""
        if self._end.done():
            return
        silent_at = self._heard_at + SILENT_INTERVALS * self._heartbeat_s
        if (left_s := self._clock.left_s(silent_at)) == 0:
            detail = f"nothing came for {SILENT_INTERVALS * self._heartbeat_s:g} s"
            self.end(grpc.StatusCode.UNAVAILABLE, detail)
            return
        now = self._loop.time()
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self._interval_s()
            self.send(Heartbeat())
        self._timer = self._loop.call_later(min(left_s, self._heartbeat_at - now), self._watch)

    def _interval_s(self) -> float:
        return self._heartbeat_s * random.uniform(1 - HEARTBEAT_JITTER, 1 + HEARTBEAT_JITTER)  # noqa: S311

    def _flush_acks(self) -> None:
        self._ack_timer = None
        acks, self._acks = self._acks, {}
        for ack in acks.values():
            self.send(ack)
