"""From a request to its answer: the fan-out, run by asyncio.

Put together so (each later part uses the earlier ones):

    metrics = Metrics(prometheus_registry)
    registry = Registry(colo_memory)
    asns = AsnTable(path, log=log, metrics=metrics)               # only with --asn-db
    async with Names(resolver=resolver, metrics=metrics, log=log) as names:
        service = TraceService(registry=registry, names=names, asns=asns,
                               policy=TargetPolicy(allow_private=…), metrics=metrics, log=log,
                               clock=clock)
        link = DirectLink(service.fleet, host=host, port=port, tls=None, log=log, clock=clock)
        await link.start()
        …                                                        # until told to stop
        await service.drain()       # refuses new requests, lets the running ones finish
        await link.stop()           # agents' streams end with UNAVAILABLE
"""

import asyncio
import ipaddress
from collections.abc import Iterable, Sequence

from colotrace_proto import rows, tally
from colotrace_proto.codes import Code
from colotrace_proto.failures import UNTRACEABLE
from colotrace_proto.messages import ColoName, Family, Frame
from colotrace_proto.running import RunningClock
from structlog.typing import FilteringBoundLogger

from .deadlines import NAMES_S
from .enrich.asn import AsnTable
from .enrich.names import Names
from .errors import CoordinatorError
from .fleet.link import Fleet
from .fleet.registry import Registry
from .jobs.dispatcher import GATHER_S, Dispatcher
from .jobs.running import JobSpec, Ticket
from .jobs.task import Finished, Task
from .metrics import Metrics
from .model import Answer, ColoStatus, Message, Options, TraceRequest
from .policy import TargetPolicy, as_asked, literal


class StoppingError(CoordinatorError):
    """The coordinator is stopping and takes no new request (HTTP 503)."""


class TraceService:
    """The `Tracer` that asks real agents. To be made inside a running event loop."""

    def __init__(
        self,
        *,
        registry: Registry,
        names: Names | None,
        asns: AsnTable | None,
        policy: TargetPolicy,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: RunningClock,
        gather_s: float = GATHER_S,
    ) -> None:
        """`gather_s` is how long, after the start, rows wait for agents of colos known before."""
        self._registry = registry
        self._names = names
        self._asns = asns
        self._policy = policy
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._dispatcher = Dispatcher(
            registry=registry,
            metrics=metrics,
            log=log,
            seen=self._foresee,
            clock=clock,
            gather_s=gather_s,
        )
        self._stopping = False
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def fleet(self) -> Fleet:
        """What links report to."""
        return self._dispatcher

    def forget(self, colo: ColoName) -> bool:
        """Forget a colo that has no agent; False where it has one."""
        return self._registry.forget(colo)

    def colos(self) -> Sequence[ColoStatus]:
        """Every known colo, by name."""
        return self._registry.colos()

    async def trace(self, request: TraceRequest) -> Answer:
        """The whole answer, within `deadlines.ANSWER_S`; cancelling the call takes its jobs
        back.

        Raises:
            StoppingError: `drain` has been called.
        """
        if self._stopping:
            raise StoppingError("the coordinator is stopping")
        began_at = self._loop.time()
        self._requests += 1
        self._idle.clear()
        try:
            return await self._trace(request)
        finally:
            self._metrics.answer_seconds.observe(self._loop.time() - began_at)
            self._requests -= 1
            if self._requests == 0:
                self._idle.set()

    async def drain(self) -> None:
        """Refuse new requests, and wait until the running ones have their answers."""
        self._stopping = True
        await self._idle.wait()

    async def _trace(self, request: TraceRequest) -> Answer:
        refusals = {target: self._policy.refusal(target) for target in request.targets}
        tickets: dict[Task, Ticket] = {}
        try:
            for target, refusal in refusals.items():
                if refusal is None:
                    for colo in request.colos:
                        task = _task(request, target, colo)
                        spec = JobSpec(request.account_id, task)
                        tickets[task] = self._dispatcher.begin(spec, spent_s=request.spent_s)
            if tickets:
                await asyncio.wait([ticket.done for ticket in tickets.values()])
            finished = {task: ticket.done.result() for task, ticket in tickets.items()}
        finally:
            for ticket in tickets.values():
                ticket.leave()

        parts = _Parts(self._registry, request.options)
        for row, target in enumerate(request.targets):
            refusal = refusals[target]
            for column, colo in enumerate(request.colos):
                pointer = f"/result/{row}/colos/{column}"
                if refusal is not None:
                    parts.refuse(target, colo, pointer=pointer, words=refusal)
                else:
                    parts.add(finished[_task(request, target, colo)], target, colo, pointer=pointer)
        colo_rows = tally.colo_rows(parts.gathered, await self._known(parts.gathered))
        width = len(request.colos)
        return Answer(
            [
                rows.TargetRow(target=target, colos=colo_rows[i * width : (i + 1) * width])
                for i, target in enumerate(request.targets)
            ],
            parts.messages,
        )

    async def _known(self, gathered: list[tally.Gathered]) -> tally.Known:
        addresses = tally.addresses(gathered)
        names, asns = {}, {}
        if self._names is not None:
            names = await self._names.names(addresses, wait_s=NAMES_S)
        if self._asns is not None:
            asns = self._asns.asns(addresses)
        return tally.Known(names, asns)

    def _foresee(self, frame: Frame) -> None:
        """Names and ASNs are looked up while the trace still runs, so that the answer need not
        wait."""
        nodes = {node.address for node in frame.replies.nodes}
        if frame.target_address:
            nodes.add(frame.target_address)
        addresses = _texts(nodes)
        if self._names is not None:
            self._names.prefetch(addresses)
        if self._asns is not None:
            self._asns.asns(addresses)


class _Parts:
    """An answer's rows before their statistics, and what there is to say of them."""

    def __init__(self, registry: Registry, options: Options) -> None:
        self._registry = registry
        self._options = options
        self.gathered: list[tally.Gathered] = []
        self.messages: list[Message] = []

    def refuse(self, target: str, colo: ColoName, *, pointer: str, words: str) -> None:
        """A row that this coordinator's policy forbids."""
        links = () if self._options.multipath else None
        self.gathered.append(
            tally.Gathered(target=target, colo=self._colo(colo), code=UNTRACEABLE, links=links)
        )
        self.messages.append(Message(Code.ROW_FAILED + UNTRACEABLE, words, pointer))

    def add(self, finished: Finished, target: str, colo: ColoName, *, pointer: str) -> None:
        """A row that agents were asked for."""
        fault, options = finished.fault, self._options
        self.gathered.append(
            tally.Gathered(
                target=target,
                colo=self._colo(colo),
                target_address=finished.target_address,
                sent=finished.sent,
                replies=finished.replies,
                duration_ns=finished.duration_ns,
                code=fault.code if fault else 0,
                unplaced=finished.unplaced,
                own_ends=tally.has_own_ends(options.packet_type, multipath=options.multipath),
                links=finished.links if options.multipath else None,
            )
        )
        if fault is not None:
            self._say(Code.ROW_FAILED + fault.code, f"{colo}: {fault.words}", pointer)
        for words in finished.moved:
            self._say(Code.ROW_MOVED, f"{colo}: {words}", pointer)
        for words in finished.notices:
            self._say(Code.ROW_NOTICE, f"{colo}: {words}", pointer)

    def _say(self, code: int, words: str, pointer: str) -> None:
        self.messages.append(Message(code, words, pointer))

    def _colo(self, colo: ColoName) -> rows.Colo:
        return rows.Colo(city=self._registry.city(colo), name=colo)


def _task(request: TraceRequest, target: str, colo: ColoName) -> Task:
    address = literal(target)
    family = Family(address.version) if address is not None else None
    return Task(colo, as_asked(target), request.options, family)


def _texts(addresses: Iterable[bytes]) -> list[str]:
    return [str(ipaddress.ip_address(address)) for address in addresses]
