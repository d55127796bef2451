"""The link to one coordinator without a broker: its stream carries the jobs as well."""

import asyncio
from contextlib import suppress

from colotrace_proto.running import RunningClock

from colotrace_agent.job.admission import Jobs

from .session import Identity
from .stream import Stream
from .tls import Tls


class DirectLink:
    """Keeps a stream to the coordinator up until stopped. Create it on the event loop."""

    def __init__(
        self,
        coordinator: str,
        identity: Identity,
        jobs: Jobs,
        *,
        tls: Tls | None,
        clock: RunningClock,
    ) -> None:
        self._jobs = jobs
        self._stream = Stream(coordinator, identity, jobs, tls=tls, clock=clock)

    async def run(self) -> None:
        """Attaches, and attaches again whenever the stream ends. Runs until cancelled."""
        await self._stream.run()

    def capabilities_changed(self) -> None:
        """The identity's families have changed."""
        self._stream.capabilities_changed()

    def renew(self) -> None:
        """See `Stream`."""
        self._stream.renew()

    async def drain(self, *, within_s: float) -> None:
        """Takes no more jobs; returns once all have ended and the coordinator knows."""
        self._stream.draining()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._jobs.finish(within_s=within_s)
                await self._stream.settled()
