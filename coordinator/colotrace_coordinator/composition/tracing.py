"""From a request to its answer."""

import contextlib
from dataclasses import dataclass

import structlog
from colotrace_proto.deadlines import GATHER_S
from colotrace_proto.running import RunningClock
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.answer import Answers
from colotrace_coordinator.enrich.asn import AsnTable
from colotrace_coordinator.enrich.names import Names
from colotrace_coordinator.fleet.fleet import Fleet
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.jobs.dispatcher import Dispatcher
from colotrace_coordinator.jobs.reports import AgentReports
from colotrace_coordinator.jobs.target_rates import TargetLimits
from colotrace_coordinator.measurements.keeping import History
from colotrace_coordinator.measurements.registry import Measurements
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.peers.peers import Peers
from colotrace_coordinator.peers.relay.relay import Relay
from colotrace_coordinator.policy import TargetPolicy
from colotrace_coordinator.service import TraceService
from colotrace_coordinator.store.seeing import AgentMemory
from colotrace_coordinator.store.seen import SeenAgents
from colotrace_coordinator.turns import Turns

from .base import Base, Store

log = structlog.get_logger("colotrace_coordinator")


@dataclass(frozen=True, slots=True)
class Tracing:
    """From a request to its answer. `reports` is what links report to."""

    service: TraceService
    measurements: Measurements
    reports: AgentReports
    fleet: Fleet
    registry: Registry
    asns: AsnTable | None = None


def build_tracing(
    registry: Registry,
    *,
    names: Names | None,
    asns: AsnTable | None,
    policy: TargetPolicy,
    target_limits: TargetLimits,
    metrics: Metrics,
    log: FilteringBoundLogger,
    clock: RunningClock,
    turns: Turns,
    peers: Peers | None = None,
    gather_s: float = GATHER_S,
    coordinator: str = "",
    history: History | None = None,
    relay: Relay | None = None,
) -> Tracing:
    """The service and what it works with. `gather_s`: how long after the start jobs wait for agents
    of colos that were known before. `coordinator` identifies this process. Call it inside a running
    event loop."""
    answers = Answers(registry=registry, names=names, asns=asns, turns=turns)
    dispatcher = Dispatcher(
        registry,
        metrics=metrics,
        log=log,
        clock=clock,
        turns=turns,
        gather_s=gather_s,
        target_limits=target_limits,
        peers=peers,
    )
    fleet = Fleet(registry, metrics=metrics, log=log)
    reports = AgentReports(
        fleet,
        dispatcher,
        seen=answers.prefetch,
        metrics=metrics,
        log=log,
        clock=clock,
    )
    measurements = Measurements(
        answers,
        coordinator=coordinator,
        turns=turns,
        history=history,
        relay=relay,
    )
    if relay is not None:
        relay.serve(measurements)
    service = TraceService(
        registry=registry,
        dispatcher=dispatcher,
        answers=answers,
        measurements=measurements,
        policy=policy,
        metrics=metrics,
        turns=turns,
        log=log,
        limit=clock.timeout,
    )
    return Tracing(service, measurements, reports, fleet, registry, asns)


async def open_tracing(base: Base, store: Store, stack: contextlib.AsyncExitStack) -> Tracing:
    """The tracing of `serve`; `stack` closes what was opened."""
    settings, metrics = base.settings, base.metrics
    asns = AsnTable(settings.asn_db, log=log, metrics=metrics) if settings.asn_db else None
    names = await stack.enter_async_context(
        Names(resolver=settings.resolver, metrics=metrics, log=log)
    )
    return build_tracing(
        Registry(store.memory, vouched=settings.encrypted),
        names=names,
        asns=asns,
        policy=TargetPolicy(allow_private=settings.allow_private),
        target_limits=TargetLimits(
            of_account=settings.account_target_rate, in_all=settings.target_rate
        ),
        metrics=metrics,
        log=log,
        clock=base.clock,
        turns=base.turns,
        peers=base.peers,
        coordinator=base.coordinator,
        history=store.history,
        relay=base.relay,
    )


def build_agent_memory(base: Base, store: Store, tracing: Tracing) -> AgentMemory:
    """Keeps what the agents of `tracing` tell in the database."""
    seen = SeenAgents(
        store.database,
        coordinator=base.coordinator,
        enrolled=base.settings.authority is not None,
    )
    memory = AgentMemory(seen, tracing.registry)
    tracing.fleet.on_changed = memory.changed
    return memory
