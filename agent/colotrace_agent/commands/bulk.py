"""`colotrace-agent trace --targets-file`: many targets, as fast as the packet budget allows."""

import asyncio
import sys
from collections.abc import Iterable

from colotrace_proto.messages import Failure, Family, JobId

from colotrace_agent.bulk.engine import Ended
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
from .shown import Shown, ShowSettings
from .targets import Targets

# Names being looked up at once, and rows being shown.
_LOOKUPS = 256
_JOB = JobId("1")
_IPV4_WIDTH = 4

# First bytes of IPv4 addresses that `policy.refusal` has nothing to say of, whatever the others
# are: most targets', and it takes longer than all else that is asked of a target.
PLAIN = frozenset(range(1, 224))
PLAIN_IF_PUBLIC = PLAIN - {10, 100, 127, 169, 172, 192, 198, 203}

# What was asked for, and what address that is.
_Asked = tuple[str, bytes]


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
        self._plain = PLAIN if allow_private else PLAIN_IF_PUBLIC
        self._resolver = resolver
        self._names: dict[Table, list[str]] = {}
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
        progress = None
        if sys.stderr.isatty():
            from .progress import Progress

            progress = Progress(self._done_so_far)
        trouble: OSError | None = None
        try:
            async with self._tasks:
                try:
                    while targets := await self._targets.several():
                        await self._begin(targets)
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

    async def _begin(self, targets: list[str]) -> None:
        found: dict[Family, list[_Asked]] = {Family.IPV4: [], Family.IPV6: []}
        plain = self._plain if Family.IPV4 in self._tracer.families else ()
        for target in targets:
            address = parse_address(target)
            if address is None:
                await self._lookups.acquire()
                task = self._tasks.create_task(self._resolve(target))
                task.add_done_callback(lambda _: self._lookups.release())
            elif len(address) == _IPV4_WIDTH and address[0] in plain:
                found[Family.IPV4].append((target, address))
            elif self._may_be_traced(target, [address]):
                found[family_of(address)].append((target, address))
        for asked in found.values():
            await self._start(asked)

    async def _resolve(self, target: str) -> None:
        try:
            addresses = await self._resolver.addresses(target)
        except UnresolvableError as error:
            self._fail(target, Failure.UNRESOLVABLE, str(error))
            return
        usable = [each for each in addresses if family_of(each) in self._tracer.families]
        if self._may_be_traced(target, usable or addresses):
            await self._start([(target, usable[0])])

    def _may_be_traced(self, target: str, addresses: list[bytes]) -> bool:
        """Whether the first of them may be; says so where not."""
        if family_of(addresses[0]) not in self._tracer.families:
            found = " and ".join(sorted({f"IPv{family_of(address)}" for address in addresses}))
            words = f"{target} has only {found} addresses, which the agent cannot send"
            self._fail(target, Failure.NO_FAMILY, words, address=addresses[0])
            return False
        forbidden = refusal(addresses[0], allow_private=self._allow_private)
        if forbidden is not None:
            self._fail(target, Failure.POLICY, forbidden, address=addresses[0])
        return forbidden is None

    async def _start(self, asked: list[_Asked]) -> None:
        """Begins traces to targets of one family, as there comes to be room for them."""
        while asked and not self._interrupted:
            begun = self._tracer.start([address for _, address in asked])
            for place, error in begun.failed.items():
                self._fail_to_start(*asked[place], error)
            if begun.table is not None:
                names = self._names_of(begun.table)
                for line, place in zip(begun.lines, begun.places, strict=True):
                    names[line] = asked[place][0]
            asked = asked[begun.tried :]
            if asked:
                self._tracer.turned.clear()
                await self._tracer.turned.wait()

    def _names_of(self, table: Table) -> list[str]:
        """What was asked for, by line."""
        names = self._names.get(table)
        if names is None:
            names = self._names[table] = [""] * table.lines
        return names

    async def _all_ended(self) -> None:
        while self._tracer.under_way and not self._interrupted:
            self._tracer.turned.clear()
            await self._tracer.turned.wait()

    def _tell(self, ended: list[Ended]) -> None:
        failure = Failure.CANCELLED if self._interrupted else Failure.NONE
        for each in ended:
            names, numbers = self._names_of(each.table), each.numbers.tolist()
            self._done += len(numbers)
            targets = [names[number] for number in numbers]
            others: Iterable[int] = range(len(numbers))
            if self._writer is not None and not self._interrupted:
                data, others = self._writer.write(each, targets)
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            for place in others:
                line = each.line(numbers[place])
                frame = Report(_JOB).final(line, failure, notices=notices(line))
                ask = not self._interrupted
                self._tasks.create_task(self._shown.show(targets[place], [frame], ask=ask))

    def _fail_to_start(self, target: str, address: bytes, error: OSError | NoFlowLeftError) -> None:
        words = str(error)
        if isinstance(error, OSError):
            words = f"the agent cannot send to {target}: {error.strerror}"
        self._fail(target, Failure.SEND, words, address=address)

    def _fail(self, target: str, failure: Failure, words: str, *, address: bytes = b"") -> None:
        self._done += 1
        frame = Report(_JOB).failed(failure, words, target=address)
        self._tasks.create_task(self._shown.show(target, [frame]))
