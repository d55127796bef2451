"""`colotrace-agent trace --targets-file`: many targets, as fast as the packet budget allows."""

import asyncio
import sys
from collections.abc import Iterable

from colotrace_proto.messages import Failure, JobId

from colotrace_agent.bulk.line import Line
from colotrace_agent.bulk.table import Table
from colotrace_agent.bulk.tracer import BulkTracer
from colotrace_agent.engine.identity import NoFlowLeftError
from colotrace_agent.engine.notices import notices
from colotrace_agent.model import TraceSpec, family_of
from colotrace_agent.network.sockets import RawSockets
from colotrace_agent.policy import refusal
from colotrace_agent.report import Report
from colotrace_agent.resolve import Resolver, UnresolvableError, parse_address

from .lines import LineWriter
from .progress import Progress
from .shown import Shown, ShowSettings
from .targets import Targets

# Names being looked up at once, and rows being shown.
_LOOKUPS = 256
_JOB = JobId("1")


class Bulk:
    """One run. Rows are written as traces end, whatever order the targets came in."""

    def __init__(
        self,
        spec: TraceSpec,
        show: ShowSettings,
        sockets: RawSockets,
        *,
        rate: float | None,
        allow_private: bool,
        resolver: Resolver,
    ) -> None:
        """`spec`'s own target is nobody's."""
        self._tracer = BulkTracer(spec, sockets, rate=rate, tell=self._tell)
        self._shown = Shown(show, resolver)
        # Names take a while to come, and tables are for reading: those rows are made one by one.
        self._writer = LineWriter(show.colo) if show.json and not show.names else None
        self._allow_private = allow_private
        self._resolver = resolver
        self._asked: dict[tuple[Table, int], str] = {}
        self._tasks = asyncio.TaskGroup()
        self._lookups = asyncio.Semaphore(_LOOKUPS)
        self._interrupted = False
        self._done = 0
        self._targets: Targets | None = None

    @property
    def errors(self) -> int:
        """Targets that could not be traced."""
        return self._shown.errors

    async def run(self, given: Iterable[str], file: int) -> None:
        """Traces the targets given and those in the file; returns once all are told of.

        Raises:
            OSError: the file cannot be read on; what was begun has been told of.
        """
        self._targets = Targets(given, file)
        progress = Progress(self._done_so_far) if sys.stderr.isatty() else None
        trouble: OSError | None = None
        try:
            async with self._tasks:
                try:
                    async for target in self._targets:
                        await self._begin(target)
                except OSError as error:
                    trouble = error
                await self._all_ended()
        finally:
            if progress is not None:
                progress.close()
            self._tracer.close()
            sys.stdout.buffer.flush()
        if trouble is not None:
            raise trouble

    def interrupt(self) -> None:
        """Ends early: what is under way is told of as far as it came."""
        self._interrupted = True
        if self._targets is not None:
            self._targets.close()
        self._tracer.stop()

    def _done_so_far(self) -> tuple[int, int, int]:
        return self._done, self._tracer.under_way, self._tracer.sent

    async def _begin(self, target: str) -> None:
        address = parse_address(target)
        if address is not None:
            await self._start(target, [address])
            return
        await self._lookups.acquire()
        task = self._tasks.create_task(self._resolve(target))
        task.add_done_callback(lambda _: self._lookups.release())

    async def _resolve(self, target: str) -> None:
        try:
            addresses = await self._resolver.addresses(target)
        except UnresolvableError as error:
            self._fail(target, Failure.UNRESOLVABLE, str(error))
        else:
            await self._start(target, addresses)

    async def _start(self, target: str, addresses: list[bytes]) -> None:
        tracer = self._tracer
        usable = [address for address in addresses if family_of(address) in tracer.families]
        if not usable:
            found = " and ".join(sorted({f"IPv{family_of(address)}" for address in addresses}))
            words = f"{target} has only {found} addresses, which the agent cannot send"
            self._fail(target, Failure.NO_FAMILY, words, address=addresses[0])
            return
        address = usable[0]
        forbidden = refusal(address, allow_private=self._allow_private)
        if forbidden is not None:
            self._fail(target, Failure.POLICY, forbidden, address=address)
            return
        while not tracer.has_room(address) and not self._interrupted:
            tracer.turned.clear()
            await tracer.turned.wait()
        if self._interrupted:
            return
        try:
            line = tracer.start(address)
        except OSError as error:
            words = f"the agent cannot send to {target}: {error.strerror}"
            self._fail(target, Failure.SEND, words, address=address)
        except NoFlowLeftError as error:
            self._fail(target, Failure.SEND, str(error), address=address)
        else:
            self._asked[line.table, line.number] = target

    async def _all_ended(self) -> None:
        while self._tracer.under_way and not self._interrupted:
            self._tracer.turned.clear()
            await self._tracer.turned.wait()

    def _tell(self, ended: list[Line]) -> None:
        self._done += len(ended)
        told = [(self._asked.pop((line.table, line.number)), line) for line in ended]
        others: Iterable[int] = range(len(told))
        if self._writer is not None and not self._interrupted:
            data, others = self._writer.write(told)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        failure = Failure.CANCELLED if self._interrupted else Failure.NONE
        for place in others:
            target, line = told[place]
            frame = Report(_JOB).final(line, failure, notices=notices(line))
            ask = not self._interrupted
            self._tasks.create_task(self._shown.show(target, [frame], ask=ask))

    def _fail(self, target: str, failure: Failure, words: str, *, address: bytes = b"") -> None:
        self._done += 1
        frame = Report(_JOB).failed(failure, words, target=address)
        self._tasks.create_task(self._shown.show(target, [frame]))
