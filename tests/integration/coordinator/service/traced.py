"""A service with its direct link, and requests to it."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import pytest
import structlog
from colotrace_coordinator.composition.tracing import build_tracing
from colotrace_coordinator.enrich.names import Names
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.jobs.target_rates import UNLIMITED, TargetLimits
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.model import Message, TraceRequest
from colotrace_coordinator.policy import TargetPolicy
from colotrace_coordinator.turns import Turns
from colotrace_proto import rows
from colotrace_proto.measured import Options, Status, Summary
from colotrace_proto.messages import (
    ColoName,
    Hello,
)
from colotrace_proto.running import RunningClock
from eventually import until
from prometheus_client import CollectorRegistry
from unit.coordinator.remembered import RememberedHistory
from unit.coordinator.scripted_agent import ScriptedAgent, hello
from unit.coordinator.volatile import VolatileMemory

DEN, SIN = ColoName("den01"), ColoName("sin01")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer whose rows have all been asked for."""

    rows: list[rows.TargetRow]
    messages: list[Message]


class Coordinator:
    """A service with its direct link, and the agents that a test attaches."""

    def __init__(
        self,
        stack: AsyncExitStack,
        *,
        limits: TargetLimits = UNLIMITED,
        names: Names | None = None,
        gather_s: float = 0,
    ) -> None:
        self.stack = stack
        self.history = RememberedHistory()
        self.numbers = CollectorRegistry()
        metrics = Metrics(self.numbers)
        log = structlog.get_logger()
        clock = RunningClock()
        registry = Registry(VolatileMemory([(SIN, "Singapore, SG")]))
        turns = Turns()
        tracing = build_tracing(
            registry,
            names=names,
            asns=None,
            policy=TargetPolicy(),
            metrics=metrics,
            log=log,
            clock=clock,
            turns=turns,
            gather_s=gather_s,
            target_limits=limits,
            history=self.history,
        )
        self.measurements = tracing.measurements
        self.service = tracing.service
        self.events = tracing.reports
        self.link = DirectLink(
            self.events,
            host="127.0.0.1",
            port=0,
            tls=None,
            log=log,
            clock=clock,
            turns=turns,
        )
        self.port = 0

    async def agent(self, name: str | Hello = "a1", *, colo: str = "den01") -> ScriptedAgent:
        who = hello(name, colo=colo) if isinstance(name, str) else name
        agent = await self.stack.enter_async_context(ScriptedAgent(self.port, who))
        await agent.attach()
        return agent

    def begin(
        self,
        *targets: str,
        colos: tuple[ColoName, ...] = (DEN,),
        account: str = "acc",
        options: Options | None = None,
        spent_s: float = 0.0,
    ) -> asyncio.Task[Whole]:
        request = TraceRequest(
            account, targets or ("8.8.8.8",), colos, options or Options(), spent_s=spent_s
        )
        return asyncio.create_task(self._trace(request))

    def start(
        self,
        *targets: str,
        colos: tuple[ColoName, ...] = (DEN,),
        options: Options | None = None,
        within_s: float = 25,
    ) -> Summary:
        """Begin a measurement that goes on by itself."""
        request = TraceRequest("acc", targets or ("8.8.8.8",), colos, options or Options())
        return self.service.start(request, within_s=within_s, ended=lambda: None)

    async def status(self, measurement_id: str) -> Status:
        found = await self.measurements.find("acc", measurement_id)
        assert found is not None
        return found.status

    async def _trace(self, request: TraceRequest) -> Whole:
        answer = await self.service.trace(request)
        colo_rows = [row async for piece in answer.rows for row in piece]
        width = answer.rows_of_target
        targets = [
            rows.TargetRow(target=target, colos=colo_rows[at * width : (at + 1) * width])
            for at, target in enumerate(answer.targets)
        ]
        return Whole(targets, answer.messages)

    def number(self, name: str, **labels: str) -> float:
        return self.numbers.get_sample_value(name, labels) or 0.0


async def soon(what: Awaitable[T]) -> T:
    """What it gives. A test that would wait for ever fails."""
    async with asyncio.timeout(20):
        return await what


async def gone(coordinator: Coordinator, *, colo: ColoName = DEN, left: int = 0) -> None:
    """Wait until so many agents are left."""
    colos = coordinator.service.colos
    await until(lambda: [each.agents for each in colos() if each.name == colo] == [left])


def only(answer: Whole) -> rows.ColoRow:
    ((row,),) = [target.colos for target in answer.rows]
    return row


async def cancelled(task: asyncio.Task[Whole]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
