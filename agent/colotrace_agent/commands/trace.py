"""`colotrace-agent trace`: traces from this host, without a coordinator."""

import asyncio
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from colotrace_proto import rows
from colotrace_proto.messages import Failure, Frame, Job, JobId
from colotrace_proto.output import EXIT_INTERRUPTED, OutputError
from msgspec.structs import replace

from colotrace_agent.host.resolve import Resolver
from colotrace_agent.job.frames import Report
from colotrace_agent.job.shell import JobShell
from colotrace_agent.network.sockets import RawSockets
from colotrace_agent.network.support import kernel_takes_numbers
from colotrace_agent.policy import Policy
from colotrace_agent.prober import open_prober

from .outputs import Outputs
from .shown import Shown
from .targets import Targets, Unusable

if TYPE_CHECKING:
    from colotrace_formats.formats import Format

    from .bulk import Bulk

# Maximum number of targets under way; their rows are in memory until printed.
_AT_ONCE = 256

EXIT_ERRORS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """Options of the command line, checked."""

    job: Job
    """That of each target, but for its id and target."""
    rate: float | None
    sockets: RawSockets
    allow_private: bool
    names: bool
    json: bool
    """A line of JSON for each target; `format` is then None."""
    format: "Format | None"
    """The format of the rows; None for a table."""
    fail_unreached: bool
    colo: rows.Colo


async def trace(given: Iterable[str], settings: TraceSettings, *, file: int | None = None) -> int:
    """Prints each target's row as it is finished; returns the exit code.

    The targets are `given`, then one for each line of the descriptor `file`. A signal ends the run
    with what there is.

    0: every target was traced. 1: some could not be, or, with `fail_unreached`, did not answer.
    130: interrupted.

    Raises:
        OutputError: standard output cannot be written.
    """

    def end() -> None:
        shown.ask = False
        targets.close()
        run.end()

    def interrupt() -> None:
        outputs.hurry()
        end()

    resolver, targets, outputs = Resolver(), Targets(given, file), Outputs(end)
    shown = Shown(settings, resolver, outputs)
    try:
        way = _way(settings.job, from_file=file is not None)
        run = way(settings, targets, shown, outputs=outputs, resolver=resolver)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        whole = await run.run()
        await outputs.close()
    except OutputError as error:
        if not outputs.hurried:
            raise
        await outputs.last_words(f"colotrace-agent: {error.words}")
    finally:
        await resolver.close()
    if outputs.hurried:
        return EXIT_INTERRUPTED
    failed = not whole or shown.errors or (settings.fail_unreached and shown.unreached)
    return EXIT_ERRORS if failed else 0


def _way(job: Job, *, from_file: bool) -> "type[Bulk | _OneByOne]":
    """A file is traced in bulk, if each target has one flow and the kernel numbers its stamps."""
    one_flow = len(job.packet_type.parts) == 1 and not job.multipath
    if from_file and one_flow and kernel_takes_numbers():
        from .bulk import Bulk

        return Bulk
    return _OneByOne


class _OneByOne:
    """A job for each target."""

    def __init__(
        self,
        settings: TraceSettings,
        targets: Targets,
        shown: Shown,
        *,
        outputs: Outputs,
        resolver: Resolver,
    ) -> None:
        self._settings = settings
        self._targets = targets
        self._shown = shown
        self._outputs = outputs
        self._resolver = resolver
        self._prober = prober = open_prober(rate=settings.rate, sockets=settings.sockets)
        self._policy = Policy(
            allow_private=settings.allow_private, families=lambda: prober.families
        )
        self._running: set[JobShell] = set()
        self._ending = False

    async def run(self) -> bool:
        """Traces all targets. Returns False if reading the file failed, after a message."""
        places = asyncio.Semaphore(_AT_ONCE)
        whole = True
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    async for target in self._targets:
                        await places.acquire()
                        task = tasks.create_task(self._one(target))
                        task.add_done_callback(lambda _: places.release())
                except OSError as error:
                    whole = False
                    self._outputs.note(f"colotrace-agent: --targets-file: {error}")
        finally:
            self._prober.close()
        return whole

    def end(self) -> None:
        """Start no more traces, and end those under way."""
        self._ending = True
        for shell in list(self._running):
            shell.cut_short(Failure.CANCELLED)

    async def _one(self, target: str | Unusable) -> None:
        if self._ending:
            return
        if isinstance(target, Unusable):
            frame = Report(JobId("")).failed(Failure.UNRESOLVABLE, target.cause)
            await self._shown.show(target.text, frame)
            return
        ended: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        shell = JobShell(
            replace(self._settings.job, job_id=JobId(target), target=target),
            prober=self._prober,
            resolver=self._resolver,
            policy=self._policy,
            ready=lambda _: None,
            end=ended.set_result,
        )
        self._running.add(shell)
        frame = await asyncio.shield(ended)
        self._running.discard(shell)
        await self._shown.show(target, frame)
