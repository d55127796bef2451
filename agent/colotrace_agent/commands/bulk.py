"""`colotrace-agent trace --targets-file`: many targets, as fast as the packet budget allows."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from colotrace_proto.messages import Failure, Family, Frame, JobId
from colotrace_proto.notices import Notice

from colotrace_agent.bulk.engine import Ended
from colotrace_agent.bulk.group import Group
from colotrace_agent.bulk.json_lines import LineWriter
from colotrace_agent.bulk.tracer import BulkTracer
from colotrace_agent.engine.identity import NoFlowLeftError
from colotrace_agent.engine.notices import cannot_start
from colotrace_agent.host.resolve import Resolver, UnresolvableError, parse_address
from colotrace_agent.job.frames import Report
from colotrace_agent.job.machine import spec_of
from colotrace_agent.model import family_of
from colotrace_agent.policy import Barred, Policy

from .outputs import Outputs
from .progress import Progress
from .shown import Shown
from .targets import Targets, Unusable

if TYPE_CHECKING:
    from .trace import TraceSettings

# Maximum numbers of look-ups and of rows being printed.
_LOOKUPS = 256
_SHOWING = 256
_JOB = JobId("")

# A target as given, and its address.
_Asked = tuple[str, bytes]
_Trouble = OSError | NoFlowLeftError


class Bulk:
    """One run. Rows are written as traces end, whatever order the targets came in."""

    def __init__(
        self,
        settings: "TraceSettings",
        targets: Targets,
        shown: Shown,
        *,
        outputs: Outputs,
        resolver: Resolver,
    ) -> None:
        self._targets = targets
        self._shown = shown
        self._outputs = outputs
        self._resolver = resolver
        self._family = settings.job.family
        self._tracer = tracer = BulkTracer(
            spec_of(settings.job, b""), settings.sockets, rate=settings.rate, tell=self._tell
        )
        self._policy = Policy(
            allow_private=settings.allow_private, families=lambda: tracer.families
        )
        # Rows with names and groups are made one by one; others in arrays.
        in_arrays = settings.json and not settings.names
        self._writer = LineWriter(settings.colo) if in_arrays else None
        self._names: dict[Group, list[str]] = {}
        self._tasks = asyncio.TaskGroup()
        self._lookups = asyncio.Semaphore(_LOOKUPS)
        # Names of one address start one after the other; only one of them asks at each turn.
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._resolving: set[asyncio.Task[None]] = set()
        self._ending = False
        self._showing = 0
        self._shown_one = asyncio.Event()
        self._done = 0

    async def run(self) -> bool:
        """Traces all targets. Returns False if reading the file failed, after a message."""
        progress = None
        if sys.stderr.isatty():
            progress = Progress(self._done_so_far, self._outputs.status)
        whole = True
        try:
            async with self._tasks:
                try:
                    while targets := await self._targets.several():
                        await self._begin(targets)
                except OSError as error:
                    whole = False
                    self._outputs.note(f"colotrace-agent: --targets-file: {error}")
                while self._tracer.under_way and not self._ending:
                    await self._tracer.next_turn()
        finally:
            if progress is not None:
                progress.close()
            self._tracer.close()
        if self._writer is not None:
            self._shown.unreached += self._writer.unreached
        return whole

    def end(self) -> None:
        """Start no more traces, and end those under way."""
        self._ending = True
        self._tracer.stop()
        self._shown_one.set()
        # A silent name server must not delay the end.
        for task in self._resolving:
            task.cancel()

    def _done_so_far(self) -> tuple[int, int, int]:
        return self._done, self._tracer.under_way, self._tracer.sent

    async def _begin(self, targets: Sequence[str | Unusable]) -> None:
        literals: list[_Asked] = []
        await self._room()
        for target in targets:
            if self._ending:
                return
            if isinstance(target, Unusable):
                self._fail(target.text, Failure.UNRESOLVABLE, target.cause)
                continue
            address = parse_address(target)
            # An address of another family is refused as a name without one is.
            if address is None or self._family not in (None, family_of(address)):
                await self._lookups.acquire()
                if self._ending:
                    return
                task = self._tasks.create_task(self._resolve(target))
                self._resolving.add(task)
                task.add_done_callback(self._has_resolved)
            else:
                literals.append((target, address))
        found: dict[Family, list[_Asked]] = {Family.IPV4: [], Family.IPV6: []}
        judged = self._policy.judge_all([address for _, address in literals])
        for asked, barred in zip(literals, judged, strict=True):
            if barred is None:
                found[family_of(asked[1])].append(asked)
            else:
                self._bar(asked[0], barred)
        for each in found.values():
            await self._start(each, self._fail_to_start)

    def _has_resolved(self, task: asyncio.Task[None]) -> None:
        self._resolving.discard(task)
        self._lookups.release()

    async def _resolve(self, target: str) -> None:
        try:
            addresses = await self._resolver.addresses(target, family=self._family)
        except UnresolvableError as error:
            self._fail(target, Failure.UNRESOLVABLE, error.notice)
            return
        judged = self._policy.judge(target, addresses)
        if isinstance(judged, Barred):
            self._bar(target, judged)
            return
        failed: list[tuple[str, bytes, _Trouble]] = []
        for address in judged:
            async with self._locks.setdefault(address, asyncio.Lock()):
                await self._start([(target, address)], lambda *each: failed.append(each))
            if not failed or failed[-1][1] != address:
                return
        self._fail_to_start(*failed[0])

    def _bar(self, target: str, barred: Barred) -> None:
        self._fail(target, barred.failure, barred.cause, address=barred.address)

    async def _start(
        self, asked: list[_Asked], failed: Callable[[str, bytes, _Trouble], object]
    ) -> None:
        """Start traces to targets of one family as there is room for them. `failed` is called for
        each that cannot start."""
        while asked and not self._ending:
            await self._room()
            begun = self._tracer.start([address for _, address in asked])
            for place, error in begun.failed.items():
                failed(*asked[place], error)
            if begun.group is not None:
                names = self._names_of(begun.group)
                for line, place in zip(begun.lines, begun.places, strict=True):
                    names[line] = asked[place][0]
            asked = asked[begun.tried :]
            if asked:
                await self._tracer.next_turn()

    def _names_of(self, group: Group) -> list[str]:
        """Targets as given, by line of the group."""
        names = self._names.get(group)
        if names is None:
            names = self._names[group] = [""] * group.columns.lines
        return names

    async def _room(self) -> None:
        """Waits while the reader of the rows is behind."""
        await self._outputs.drain()
        while self._showing >= _SHOWING and not self._ending:
            self._shown_one.clear()
            await self._shown_one.wait()

    def _tell(self, ended: list[Ended]) -> None:
        if self._outputs.error is not None:
            return
        failure = Failure.CANCELLED if self._ending else Failure.NONE
        for each in ended:
            names, numbers = self._names_of(each.group), each.numbers.tolist()
            self._done += len(numbers)
            targets = [names[number] for number in numbers]
            others: Iterable[int] = range(len(numbers))
            if self._writer is not None and not self._ending:
                data, others = self._writer.write(each, targets)
                self._outputs.row(data)
            for place in others:
                line = each.line(numbers[place])
                frame = Report(_JOB).final(line, failure)
                self._show(targets[place], frame)

    def _show(self, target: str, frame: Frame) -> None:
        self._showing += 1
        task = self._tasks.create_task(self._shown.show(target, frame))
        task.add_done_callback(self._has_shown)

    def _has_shown(self, _: asyncio.Task[None]) -> None:
        self._showing -= 1
        self._shown_one.set()

    def _fail_to_start(self, target: str, address: bytes, error: _Trouble) -> None:
        self._fail(target, Failure.SEND, cannot_start(target, error), address=address)

    def _fail(self, target: str, failure: Failure, cause: Notice, *, address: bytes = b"") -> None:
        self._done += 1
        self._show(target, Report(_JOB).failed(failure, cause, target=address))
