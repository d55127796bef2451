"""`colotrace-agent trace`: traces from this host, without a coordinator."""

import asyncio
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from colotrace_proto import rows
from colotrace_proto.messages import (
    MAX_REMAINING_MS,
    Failure,
    Frame,
    Job,
    JobId,
    PacketType,
)

from colotrace_agent.job import JobRun
from colotrace_agent.model import TraceSpec
from colotrace_agent.network.departures import kernel_takes_numbers
from colotrace_agent.network.sockets import RawSockets
from colotrace_agent.resolve import Resolver
from colotrace_agent.runner import Prober, open_prober

from .shown import Shown, ShowSettings
from .targets import Targets

# Targets under way at once; their rows are held in memory only so long.
_AT_ONCE = 256

EXIT_ERRORS = 1
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """What the command line said."""

    packet_type: PacketType
    max_ttl: int
    packets_per_ttl: int
    wait_ms: int
    port: int
    multipath: bool
    rate: float | None
    sockets: RawSockets
    allow_private: bool
    names: bool
    json: bool
    colo: rows.Colo

    @property
    def show(self) -> ShowSettings:
        """What rows are made and shown by."""
        return ShowSettings(
            packet_type=self.packet_type,
            multipath=self.multipath,
            names=self.names,
            json=self.json,
            colo=self.colo,
        )


async def trace(given: Iterable[str], settings: TraceSettings, *, file: int | None = None) -> int:
    """Prints each target's row as it is finished; returns the exit status.

    The targets are those given, and then one for each line of the descriptor `file`.

    0 where every target was traced, 1 where some could not be, 130 where it was interrupted.
    """
    resolver = Resolver()
    try:
        if file is not None and _in_bulk(settings):
            return await _trace_in_bulk(given, settings, file, resolver)
        prober = open_prober(rate=settings.rate, sockets=settings.sockets)
        try:
            return await _Tracing(settings, prober, resolver, Targets(given, file)).run()
        finally:
            prober.close()
    finally:
        await resolver.close()


def _in_bulk(settings: TraceSettings) -> bool:
    """One flow to each target; and the kernel lets stamps be told apart by the hundred."""
    one_flow = settings.packet_type is not PacketType.GRE_ICMP and not settings.multipath
    return one_flow and kernel_takes_numbers()


async def _trace_in_bulk(
    given: Iterable[str], settings: TraceSettings, file: int, resolver: Resolver
) -> int:
    from .bulk import Bulk

    spec = TraceSpec(
        target=b"",
        packet_type=settings.packet_type,
        max_ttl=settings.max_ttl,
        packets_per_ttl=settings.packets_per_ttl,
        wait_ns=settings.wait_ms * 1_000_000,
        port=settings.port,
    )
    bulk = Bulk(
        spec,
        settings.show,
        settings.sockets,
        rate=settings.rate,
        allow_private=settings.allow_private,
        resolver=resolver,
    )
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        bulk.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        await bulk.run(given, file)
    except OSError as error:
        print(f"colotrace-agent: --targets-file: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_ERRORS
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_ERRORS if bulk.errors else 0


class _Tracing:
    def __init__(
        self, settings: TraceSettings, prober: Prober, resolver: Resolver, targets: Targets
    ) -> None:
        self._targets = targets
        self._settings = settings
        self._prober = prober
        self._resolver = resolver
        self._shown = Shown(settings.show, resolver)
        self._running: set[JobRun] = set()
        self._number = 0
        self._errors = 0
        self._interrupted = False

    async def run(self) -> int:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._interrupt)
        async with asyncio.TaskGroup() as tasks:
            await self._begin_all(tasks)
        if self._interrupted:
            return EXIT_INTERRUPTED
        return EXIT_ERRORS if self._errors or self._shown.errors else 0

    async def _begin_all(self, tasks: asyncio.TaskGroup) -> None:
        places = asyncio.Semaphore(_AT_ONCE)
        try:
            async for target in self._targets:
                await places.acquire()
                task = tasks.create_task(self._one(target), name=target)
                task.add_done_callback(lambda _: places.release())
        except OSError as error:
            self._errors += 1
            print(f"colotrace-agent: --targets-file: {error}", file=sys.stderr)  # noqa: T201

    def _interrupt(self) -> None:
        """What runs is printed as far as it came."""
        self._interrupted = True
        self._targets.close()
        for run in list(self._running):
            run.cut_short(Failure.CANCELLED)

    async def _one(self, target: str) -> None:
        if self._interrupted:
            return
        settings = self._settings
        self._number += 1
        job = Job(
            job_id=JobId(str(self._number)),
            target=target,
            packet_type=settings.packet_type,
            max_ttl=settings.max_ttl,
            packets_per_ttl=settings.packets_per_ttl,
            wait_ms=settings.wait_ms,
            port=settings.port,
            flow=0,
            remaining_ms=MAX_REMAINING_MS,
            multipath=settings.multipath,
        )
        frames: list[Frame] = []
        run = JobRun(
            job,
            prober=self._prober,
            resolver=self._resolver,
            allow_private=settings.allow_private,
            emit=frames.append,
        )
        self._running.add(run)
        await run.ended()
        self._running.discard(run)
        await self._shown.show(target, frames, ask=not self._interrupted)
