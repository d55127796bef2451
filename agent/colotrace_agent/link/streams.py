"""The streams to the coordinators that publish jobs at a broker.

The first job of a coordinator opens its stream. A stream without jobs is closed after `IDLE_S`. One
that is down for `DOWN_S` is closed and its jobs are cancelled: the coordinator has given them up by
then.
"""

import asyncio

from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import Job, JobId, UnknownJob
from colotrace_proto.running import RunningClock

from colotrace_agent.job.admission import Jobs

from .channel import link_resolver
from .session import Identity
from .stream import Stream
from .tls import Tls

CHECK_S = 1.0
IDLE_S = 300.0
DOWN_S = 5.0
MAX_STREAMS = 64


class Streams:
    """At most `MAX_STREAMS` streams, by the coordinator's HOST:PORT."""

    def __init__(
        self, identity: Identity, jobs: Jobs, *, tls: Tls | None, clock: RunningClock
    ) -> None:
        self._identity = identity
        self._jobs = jobs
        self._tls = tls
        self._resolver = link_resolver()
        self._clock = clock
        self._running: asyncio.TaskGroup
        self._streams: dict[str, tuple[Stream, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Runs the streams until cancelled. Start it before the first job comes."""
        async with asyncio.TaskGroup() as self._running:
            while True:
                await asyncio.sleep(CHECK_S)
                for address, (stream, task) in list(self._streams.items()):
                    if stream.down_s > DOWN_S or stream.idle_s > IDLE_S:
                        del self._streams[address]
                        stream.abandon()
                        task.cancel()

    def take(self, job: Job | UnknownJob) -> None:
        """Take a job, to be answered on the stream to its coordinator.

        Raises:
            ProtocolError: the job has no reply address, or there are too many coordinators.
        """
        address = job.reply_to
        if not address:
            raise ProtocolError("a job without a reply address")
        if address not in self._streams:
            if len(self._streams) >= MAX_STREAMS:
                raise ProtocolError(f"jobs of more than {MAX_STREAMS} coordinators")
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
        """Cancel a job, whichever coordinator asked for it."""
        for stream, _ in self._streams.values():
            stream.cancel(job_id)

    def changed(self) -> None:
        """See `Session`."""
        for stream, _ in self._streams.values():
            stream.changed()

    def renew(self) -> None:
        """See `Stream`."""
        for stream, _ in self._streams.values():
            stream.renew()

    async def settled(self) -> None:
        """Returns once all jobs have ended and their coordinators have acknowledged them."""
        await asyncio.gather(*(stream.settled() for stream, _ in self._streams.values()))
