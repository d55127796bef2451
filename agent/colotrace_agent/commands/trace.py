"""`colotrace-agent trace`: traces from this host, without a coordinator."""

import asyncio
import contextlib
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from colotrace_proto import rows
from colotrace_proto.messages import MAX_REMAINING_MS, Failure, Frame, Job, JobId, PacketType
from colotrace_proto.output import EXIT_INTERRUPTED, OutputError

from colotrace_agent.host.resolve import Resolver
from colotrace_agent.job.frames import Report
from colotrace_agent.job.shell import JobShell
from colotrace_agent.model import TraceSpec
from colotrace_agent.network.departures import kernel_takes_numbers
from colotrace_agent.network.sockets import RawSockets
from colotrace_agent.policy import Policy
from colotrace_agent.prober import Prober, open_prober

from .outputs import Outputs
from .shown import Shown, ShowSettings
from .targets import Targets, Unusable

if TYPE_CHECKING:
    from .bulk import Bulk

# Maximum number of targets under way; their rows are in memory until printed.
_AT_ONCE = 256
_JOB = JobId("1")

EXIT_ERRORS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """Options of the command line, checked."""

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
    fail_unreached: bool
    colo: rows.Colo

    @property
    def show(self) -> ShowSettings:
        """The part that concerns rows and output."""
        return ShowSettings(
            packet_type=self.packet_type,
            multipath=self.multipath,
            names=self.names,
            json=self.json,
            colo=self.colo,
        )


async def trace(given: Iterable[str], settings: TraceSettings, *, file: int | None = None) -> int:
    """Prints each target's row as it is finished; returns the exit code.

    The targets are `given`, then one for each line of the descriptor `file`.

    0: every target was traced. 1: some could not be, or, with `fail_unreached`, did not answer.
    130: interrupted.

    Raises:
        OutputError: standard output cannot be written.
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
    """Bulk needs one flow for each target, and a kernel that numbers its time stamps."""
    one_flow = len(settings.packet_type.parts) == 1 and not settings.multipath
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
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, bulk.interrupt)
    whole = await bulk.run(given, file)
    if bulk.interrupted:
        return EXIT_INTERRUPTED
    return 0 if whole and _all_well(bulk, settings) else EXIT_ERRORS


def _all_well(counted: "Bulk | Shown", settings: TraceSettings) -> bool:
    return not (counted.errors or (settings.fail_unreached and counted.unreached))


class _Tracing:
    def __init__(
        self, settings: TraceSettings, prober: Prober, resolver: Resolver, targets: Targets
    ) -> None:
        self._targets = targets
        self._settings = settings
        self._prober = prober
        self._resolver = resolver
        self._policy = Policy(
            allow_private=settings.allow_private, families=lambda: prober.families
        )
        self._outputs = Outputs(self._end)
        self._shown = Shown(settings.show, resolver, self._outputs)
        self._running: set[JobShell] = set()
        self._number = 0
        self._errors = 0
        self._ending = False
        self._interrupted = False

    async def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._interrupt)
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._begin_all(tasks)
            await self._outputs.close()
        except OutputError as error:
            if not self._interrupted:
                raise
            await self._outputs.last_words(f"colotrace-agent: {error.words}")
        if self._interrupted:
            return EXIT_INTERRUPTED
        well = not self._errors and _all_well(self._shown, self._settings)
        return 0 if well else EXIT_ERRORS

    async def _begin_all(self, tasks: asyncio.TaskGroup) -> None:
        places = asyncio.Semaphore(_AT_ONCE)
        try:
            async for target in self._targets:
                await places.acquire()
                task = tasks.create_task(self._one(target))
                task.add_done_callback(lambda _: places.release())
        except OSError as error:
            self._errors += 1
            self._outputs.note(f"colotrace-agent: --targets-file: {error}")

    def _interrupt(self) -> None:
        """Print the results so far of the traces under way."""
        self._interrupted = True
        self._outputs.hurry()
        self._end()

    def _end(self) -> None:
        self._ending = True
        self._targets.close()
        for shell in list(self._running):
            shell.cut_short(Failure.CANCELLED)

    async def _one(self, target: str | Unusable) -> None:
        if self._ending:
            return
        if isinstance(target, Unusable):
            frame = Report(_JOB).failed(Failure.UNRESOLVABLE, target.cause)
            await self._show(target.text, [frame])
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
        shell = JobShell(
            job,
            prober=self._prober,
            resolver=self._resolver,
            policy=self._policy,
            emit=frames.append,
        )
        self._running.add(shell)
        await shell.ended()
        self._running.discard(shell)
        await self._show(target, frames)

    async def _show(self, target: str, frames: list[Frame]) -> None:
        # If standard output has failed, `run` reports it once, not each task.
        with contextlib.suppress(OutputError):
            await self._shown.show(target, frames, ask=not self._ending)
