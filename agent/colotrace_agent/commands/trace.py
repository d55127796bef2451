"""`colotrace-agent trace`: traces from this host, without a coordinator."""

import asyncio
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from colotrace_proto import rows, tally
from colotrace_proto.failures import error_code
from colotrace_proto.messages import (
    MAX_REMAINING_MS,
    Failure,
    Frame,
    Job,
    JobId,
    Outcome,
    PacketType,
    Replies,
)

from colotrace_agent.job import JobRun
from colotrace_agent.network.sockets import RawSockets
from colotrace_agent.resolve import Resolver
from colotrace_agent.runner import Prober, open_prober

from .names import Names
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


async def trace(given: Iterable[str], settings: TraceSettings, *, file: int | None = None) -> int:
    """Prints each target's row as it is finished; returns the exit status.

    The targets are those given, and then one for each line of the descriptor `file`.

    0 where every target was traced, 1 where some could not be, 130 where it was interrupted.
    """
    resolver = Resolver()
    prober = open_prober(rate=settings.rate, sockets=settings.sockets)
    try:
        return await _Tracing(settings, prober, resolver, Targets(given, file)).run()
    finally:
        prober.close()
        await resolver.close()


class _Tracing:
    def __init__(
        self, settings: TraceSettings, prober: Prober, resolver: Resolver, targets: Targets
    ) -> None:
        self._targets = targets
        self._settings = settings
        self._prober = prober
        self._resolver = resolver
        self._names = Names(resolver)
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
        return EXIT_ERRORS if self._errors else 0

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
        await self._show(target, frames)

    async def _show(self, target: str, frames: list[Frame]) -> None:
        last, settings = frames[-1], self._settings
        outcome = last.outcome or Outcome(Failure.INTERNAL)
        replies = Replies()
        for frame in frames:
            replies = tally.merge(replies, frame.replies)
        code = error_code(outcome.failure)
        gathered = tally.Gathered(
            target=target,
            colo=settings.colo,
            target_address=last.target_address,
            sent=last.sent,
            replies=replies,
            duration_ns=outcome.duration_ns,
            code=code,
            unplaced=outcome.unplaced,
            own_ends=tally.has_own_ends(settings.packet_type, multipath=settings.multipath),
            links=outcome.links if settings.multipath else None,
        )
        known = await self._known([gathered]) if settings.names else tally.NOTHING_KNOWN
        (row,) = tally.colo_rows([gathered], known)
        self._errors += bool(code)
        notes = [text for text in (outcome.detail, *outcome.notices) if text]
        if settings.json:
            line = msgspec.json.encode(rows.TargetRow(target=target, colos=[row]))
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
            for note in notes:
                print(f"{target}: {note}", file=sys.stderr)  # noqa: T201 - the command's output
            return
        from colotrace_proto.table import console, trace_table

        console().print(trace_table(target, row, notes=notes))

    async def _known(self, gathered: list[tally.Gathered]) -> tally.Known:
        """Names of what will be shown, as far as they come in time; each is asked for once."""
        from colotrace_agent.resolve import parse_address

        packed = {text: parse_address(text) or b"" for text in tally.addresses(gathered)}
        found = await self._names.of(set(packed.values()), ask=not self._interrupted)
        names = {text: found[address] for text, address in packed.items() if address in found}
        return tally.Known(names, {})
