"""The streams to coordinators that ask by way of a broker: any number of them, when they ask.

The first job of each opens one. One that has had nothing to do for a while is closed; one that
cannot be had is given up, with what it was for: whoever asked has given up, too.
"""

import asyncio

from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import Job, JobId, UnknownJob
from colotrace_proto.running import RunningClock

from colotrace_agent.job.admission import Jobs

from .session import Identity
from .stream import Stream, resolver_of_links
from .tls import Tls

_LOOK_S = 1.0
_IDLE_S = 300.0
_DOWN_S = 5.0
_MOST = 64


class Streams:
    """By where the coordinators are: HOST:PORT."""

    def __init__(
        self, identity: Identity, jobs: Jobs, *, tls: Tls | None, clock: RunningClock
    ) -> None:
        self._identity = identity
        self._jobs = jobs
        self._tls = tls
        self._resolver = resolver_of_links()
        self._clock = clock
        self._running: asyncio.TaskGroup
        self._streams: dict[str, tuple[Stream, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._streams)

    async def run(self) -> None:
        """Runs them until cancelled. To be begun before the first job comes."""
        async with asyncio.TaskGroup() as self._running:
            while True:
                await asyncio.sleep(_LOOK_S)
                for address, (stream, task) in list(self._streams.items()):
                    if stream.down_s > _DOWN_S or stream.idle_s > _IDLE_S:
                        del self._streams[address]
                        stream.abandon()
                        task.cancel()

    def take(self, job: Job | UnknownJob) -> None:
        """A job, for the stream to who asks for it.

        Raises:
            ProtocolError: it does not say whom to answer, or too many ask.
        """
        address = job.reply_to
        if not address:
            raise ProtocolError("a job that does not say whom to answer")
        if address not in self._streams:
            if len(self._streams) >= _MOST:
                raise ProtocolError(f"jobs of more than {_MOST} coordinators")
            stream = Stream(
                address,
                self._identity,
                self._jobs,
                tls=self._tls,
                clock=self._clock,
                resolver=self._resolver,
            )
            task = self._running.create_task(stream.run(), name=f"stream to {address}")
            self._streams[address] = stream, task
        self._streams[address][0].take(job)

    def cancel(self, job_id: JobId) -> None:
        """A job is taken back, whoever asked for it."""
        for stream, _ in self._streams.values():
            stream.cancel(job_id)

    def capabilities_changed(self) -> None:
        """See `Session`."""
        for stream, _ in self._streams.values():
            stream.capabilities_changed()

    def renew(self) -> None:
        """See `Stream`."""
        for stream, _ in self._streams.values():
            stream.renew()

    def draining(self) -> None:
        """The agent takes no more jobs."""
        for stream, _ in self._streams.values():
            stream.draining()

    async def settled(self) -> None:
        """Returns once all jobs have ended and those who asked know."""
        await asyncio.gather(*(stream.settled() for stream, _ in self._streams.values()))
