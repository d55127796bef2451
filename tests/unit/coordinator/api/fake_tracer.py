"""A tracer without a network: it answers from a table, and tells what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Callable

from colotrace_coordinator.colos.known import KnownColos
from colotrace_coordinator.model import AgentStatus, Answer, ColoStatus, Message, TraceRequest
from colotrace_proto.locations import Location
from colotrace_proto.measured import Measured, Status, Summary
from colotrace_proto.messages import ColoName, Family, Node, NodeKind, PacketType, Replies
from colotrace_proto.rows import Colo, ColoRow
from colotrace_proto.tally import Gathered, colo_rows

CITIES = {
    "den01": "Denver, CO, US",
    "den02": "Denver, CO, US",
    "fra01": "Frankfurt, DE",
    "sin01": "Singapore, SG",
}

MEASUREMENT_ID = "019ac5f0a1b27c3d8e4f5a6b7c8d9e0f"


def summary_of(request: TraceRequest) -> Summary:
    """Of a measurement that has begun."""
    return Summary(
        id=MEASUREMENT_ID,
        account_id=request.account_id,
        caller=request.caller,
        coordinator="c" * 32,
        status=Status.RUNNING,
        began_ms=1_700_000_000_000,
        ended_ms=None,
        targets=request.targets,
        colos=request.colos,
        options=request.options,
    )


class FakeTracer:
    """`model.Tracer` with every colo three hops from everything. `hold` keeps answers back."""

    def __init__(self, cities: dict[str, str] | None = None) -> None:
        self.cities = CITIES if cities is None else cities
        self.asked: list[TraceRequest] = []
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.fail: Callable[[], Exception] | None = None
        self.messages: list[Message] = []
        self.attached: list[AgentStatus] = []
        self.codes: dict[str, int] = {}
        self.within_s = 0.0
        self.ended: list[Callable[[], None]] = []

    @property
    def known_colos(self) -> KnownColos:
        return KnownColos((ColoName(name), city) for name, city in self.cities.items())

    def colos(self) -> list[ColoStatus]:
        return [
            ColoStatus(
                name=ColoName(name),
                city=city,
                agents=1,
                families=frozenset(Family),
                packet_types=frozenset({PacketType.ICMP, PacketType.UDP}),
                state="up",
                location=Location(39.74, -104.99) if name == "den01" else None,
            )
            for name, city in sorted(self.cities.items())
        ]

    async def agents(self) -> AsyncIterator[AgentStatus]:
        for agent in self.attached:
            yield agent

    async def trace(self, request: TraceRequest) -> Answer:
        self.asked.append(request)
        self.started.set()
        try:
            if self.hold is not None:
                await self.hold.wait()
            if self.fail is not None:
                raise self.fail()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        measured = Measured(summary=summary_of(request), traces={})
        width = len(request.colos)
        return Answer(request.targets, width, self._rows(request), self.messages, measured)

    def start(
        self, request: TraceRequest, *, within_s: float, ended: Callable[[], None]
    ) -> Summary:
        self.asked.append(request)
        self.started.set()
        self.ended.append(ended)
        self.within_s = within_s
        return summary_of(request)

    async def _rows(self, request: TraceRequest) -> AsyncIterator[list[ColoRow]]:
        for target in request.targets:
            yield colo_rows([self._trace(target, c) for c in request.colos])

    def _trace(self, target: str, colo: str) -> Gathered:
        where = Colo(city=self.cities[colo], name=colo)
        if code := self.codes.get(colo, 0):
            return Gathered(target, where, code=code)
        nodes = (
            Node(bytes([10, 0, 0, 1])),
            Node(bytes([1, 1, 1, 1]), NodeKind.TARGET, ("!X",)),
        )
        replies = Replies(
            ttl=(1, 1, 1, 3, 3, 3),
            rtt_ns=(14_000, 15_000, 34_000) * 2,
            node=(0, 0, 0, 1, 1, 1),
            nodes=nodes,
        )
        return Gathered(
            target,
            where,
            target_address=bytes([1, 1, 1, 1]),
            sent=(3, 3, 3),
            replies=replies,
            duration_ns=8_400_000,
        )
