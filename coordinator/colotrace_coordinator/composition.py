"""The composition root of `serve`: builds all parts in a few steps. `serving` runs them."""

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from colotrace_proto.deadlines import GATHER_S
from colotrace_proto.descriptors import raise_limit
from colotrace_proto.running import RunningClock
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from structlog.typing import FilteringBoundLogger

from .answer import Answers
from .api.app import create_app, create_enrolment_app, create_operation_app
from .api.http.server import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_ADDRESS,
    Certificate,
    HttpServer,
    Limits,
    ServerCertificate,
)
from .api.metrics import HttpMetrics
from .api.streams import Streams
from .authority.sealed import Seal
from .descriptors import share
from .enrich.asn import AsnTable
from .enrich.names import Names
from .enrolment.known import KnownAgents
from .enrolment.own_certificate import OwnCertificate
from .enrolment.registrar import Registrar
from .errors import StoppingError
from .fleet.fleet import Fleet
from .fleet.link import FleetEvents
from .fleet.registry import MAX_AGENTS, Registry
from .jobs.dispatcher import Dispatcher
from .jobs.reports import AgentReports
from .jobs.target_rates import TargetLimits
from .links.direct.server import DirectLink
from .links.direct.tls import TlsFiles, TlsSource
from .measurements.keeping import History
from .measurements.registry import Measurements
from .metrics import BrokerMetrics, Metrics, RelayMetrics
from .own_names import LOCAL_NAMES
from .peers.peers import Peers
from .peers.relay.relay import Relay
from .policy import TargetPolicy
from .service import TraceService
from .settings import ServeSettings
from .store.audit import Audit
from .store.authorities import Authorities, secret_in
from .store.colos import ColoMemory, ColoStore
from .store.credentials import Credentials
from .store.database import Database
from .store.enrolled import EnrolledAgents
from .store.enrolments import Enrolments
from .store.history.history import History as DatabaseHistory
from .turns import Turns

if TYPE_CHECKING:
    from .links.mqtt.link import MqttLink

log = structlog.get_logger("colotrace_coordinator")

_OPERATION = Limits(connections=100, connections_per_address=50, refused=5)
_ENROLMENT = Limits(connections=200, connections_per_address=100, refused=5)


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of a coordinator."""

    base: "Base"
    store: "Store"
    enrolling: "Enrolling | None"
    tracing: "Tracing"
    links: "Links"
    servers: "Servers"


async def build(
    settings: ServeSettings, stack: contextlib.AsyncExitStack, *, stopping: asyncio.Event
) -> Parts:
    """The parts, which nothing runs yet. `stack` closes what was opened. Once `stopping` is set,
    `/readyz` refuses.

    Raises:
        SetupError: an option cannot be used.
        StoreError: the database cannot be used.
    """
    base = _base(settings, stack)
    store = await _open_store(base, stack)
    enrolling = await _enrolling(base, store)
    tracing = await _tracing(base, store, stack)
    links = _links(base, tracing.reports, enrolling)
    servers = _servers(base, store, enrolling, links, tracing, stopping)
    _report_queues(base.metrics, links, store)
    return Parts(base, store, enrolling, tracing, links, servers)


@dataclass(frozen=True, slots=True)
class Base:
    """What most parts need. `peers` and `relay` are None without a broker. `coordinator` identifies
    this process, in 32 hexadecimal digits."""

    settings: ServeSettings
    clock: RunningClock
    numbers: CollectorRegistry
    metrics: Metrics
    turns: Turns
    peers: Peers | None
    relay: Relay | None
    coordinator: str


def _base(settings: ServeSettings, stack: contextlib.AsyncExitStack) -> Base:
    clock = RunningClock()
    stack.callback(clock.close)
    numbers = CollectorRegistry()
    ProcessCollector(registry=numbers)
    PlatformCollector(registry=numbers)
    peers = relay = None
    coordinator = secrets.token_hex(16)
    if settings.mqtt is not None:
        peers = Peers(coordinator)
        relay = Relay(peers, metrics=RelayMetrics(numbers), clock=clock)
    metrics, turns = Metrics(numbers), Turns()
    return Base(settings, clock, numbers, metrics, turns, peers, relay, coordinator)


@dataclass(frozen=True, slots=True)
class Store:
    """The database, and what is kept in it."""

    database: Database
    credentials: Credentials
    audit: Audit
    memory: ColoMemory
    history: DatabaseHistory


async def _open_store(base: Base, stack: contextlib.AsyncExitStack) -> Store:
    database = await Database.open(base.settings.location, even_full=True)
    stack.push_async_callback(database.close)
    database.limit = base.clock.timeout
    credentials = Credentials(database)
    memory = await ColoMemory.load(ColoStore(database), vouched=base.settings.encrypted)
    history = DatabaseHistory(
        database,
        coordinator=base.coordinator,
        turns=base.turns,
        keep_days=base.settings.keep_days,
        keep_bytes=base.settings.keep_bytes,
    )
    return Store(database, credentials, Audit(database, credentials), memory, history)


@dataclass(frozen=True, slots=True)
class Enrolling:
    """The coordinator's own CA, and the agents that it has certified."""

    authorities: Authorities
    certificate: OwnCertificate
    known: KnownAgents
    registrar: Registrar


async def _enrolling(base: Base, store: Store) -> Enrolling | None:
    wanted = base.settings.authority
    if wanted is None:
        return None
    secret = wanted.secret
    if not secret and wanted.secret_file is not None:
        secret = secret_in(wanted.secret_file)
    authorities = Authorities(store.database)
    authority = await authorities.open(Seal(secret))
    agents = EnrolledAgents(store.database)
    known = KnownAgents(agents)
    await known.load()
    names = tuple(dict.fromkeys((*wanted.names, *LOCAL_NAMES)))
    return Enrolling(
        authorities,
        OwnCertificate(authority, names),
        known,
        Registrar(authority, Enrolments(store.database), agents, lifetime_s=wanted.lifetime_s),
    )


@dataclass(frozen=True, slots=True)
class Tracing:
    """From a request to its answer. `reports` is what links report to."""

    service: TraceService
    measurements: Measurements
    reports: AgentReports
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
    reports = AgentReports(
        Fleet(registry, metrics=metrics, log=log),
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
    return Tracing(service, measurements, reports, registry, asns)


async def _tracing(base: Base, store: Store, stack: contextlib.AsyncExitStack) -> Tracing:
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


@dataclass(frozen=True, slots=True)
class Links:
    """The links to agents. `bus` is None without a broker."""

    direct: DirectLink
    bus: "MqttLink | None"


def _links(base: Base, events: FleetEvents, enrolling: Enrolling | None) -> Links:
    settings, bus = base.settings, None
    if settings.mqtt is not None:
        from .links.mqtt.link import MqttLink  # needs the extra `mqtt`

        bus = MqttLink(
            events,
            settings.mqtt.broker,
            tls=settings.mqtt.tls,
            metrics=BrokerMetrics(base.numbers),
            log=log,
            clock=base.clock,
            peers=base.peers,
            relay=base.relay,
        )
    tls: TlsSource | None = None
    if enrolling is not None:
        tls = enrolling.certificate
    elif settings.tls is not None and settings.tls.agent_ca is not None:
        tls = TlsFiles(
            certificate=settings.tls.certificate,
            key=settings.tls.key,
            client_authority=settings.tls.agent_ca,
        )
    direct = DirectLink(
        bus or events,
        host=settings.grpc.host or "::",
        port=settings.grpc.port,
        tls=tls,
        log=log,
        clock=base.clock,
        turns=base.turns,
        enrolled=enrolling.known if enrolling is not None else None,
    )
    if bus is not None:
        bus.answered_by(direct)
    return Links(direct, bus)


@dataclass(frozen=True, slots=True)
class Servers:
    """The HTTP servers. `operation` is None if the API's has the routes of operation too, and
    `enrolment` if the coordinator has no CA of its own."""

    api: HttpServer
    streams: Streams
    operation: HttpServer | None
    enrolment: HttpServer | None


def _servers(
    base: Base,
    store: Store,
    enrolling: Enrolling | None,
    links: Links,
    tracing: Tracing,
    stopping: asyncio.Event,
) -> Servers:
    settings = base.settings

    async def ready() -> str:
        if stopping.is_set():
            raise StoppingError("the coordinator is stopping")
        await store.database.ping()
        if links.bus is not None:
            links.bus.check()
        return store.database.trouble or store.history.trouble

    metrics = HttpMetrics(base.numbers)
    streams = Streams(metrics=metrics)
    app = create_app(
        tracer=tracing.service,
        measurements=tracing.measurements,
        credentials=store.credentials,
        ready=ready,
        registry=base.numbers,
        version=version("colotrace"),
        audit=store.audit,
        requests_per_window=settings.requests_per_window,
        metrics=metrics,
        operation=settings.ops is None,
        limit=base.clock.timeout,
        peers=base.peers,
        streams=streams,
    )
    tls: Certificate | None = enrolling.certificate if enrolling is not None else None
    if settings.tls:
        tls = ServerCertificate(settings.tls.certificate, settings.tls.key)
    api = HttpServer(app, tls=tls, trusted_proxies=settings.trusted_proxies, limits=_limits())
    operation = None
    if settings.ops is not None:
        operation = HttpServer(
            create_operation_app(ready=ready, registry=base.numbers, metrics=metrics),
            limits=_OPERATION,
        )
    enrolment = None
    if enrolling is not None:
        enrolment = HttpServer(
            create_enrolment_app(enrolling.registrar, metrics=metrics),
            tls=enrolling.certificate,
            limits=_ENROLMENT,
        )
    return Servers(api, streams, operation, enrolment)


def _report_queues(metrics: Metrics, links: Links, store: Store) -> None:
    """Let the metrics read these queues when they are asked for."""
    metrics.stream_messages_waiting.set_function(links.direct.messages_waiting)
    metrics.streams_blocked.set_function(links.direct.blocked)
    metrics.agent_certificate_end.set_function(links.direct.first_end)
    metrics.audit_waiting.set_function(lambda: store.audit.waiting)
    metrics.audit_dropped.set_function(lambda: store.audit.dropped)
    history = store.history
    metrics.history_waiting.set_function(lambda: history.waiting)
    metrics.history_dropped.set_function(lambda: history.dropped)
    metrics.history_written.set_function(lambda: history.written)
    metrics.history_failures.set_function(lambda: history.failures)
    metrics.history_damaged.set_function(lambda: history.damaged)
    metrics.history_trimmed.set_function(lambda: history.trimmed)
    metrics.history_bytes.set_function(lambda: history.bytes)


def _limits() -> Limits:
    """The API's limits, reduced to what the limit of open files allows beside the agents."""
    limits = Limits()
    wanted = MAX_CONNECTIONS + limits.refused
    files = share(raise_limit(), connections=wanted, agents=MAX_AGENTS)
    if files.enough:
        return limits
    connections = max(files.connections - limits.refused, files.connections // 2)
    log.warning(
        "open_files_limited",
        limit=files.limit,
        connections=connections,
        agents=files.agents,
        remedy="raise the hard limit of open files to 65536: LimitNOFILE= in the unit, ulimits "
        "in compose, or ulimit -Hn",
    )
    return Limits(
        connections=connections,
        connections_per_address=min(MAX_CONNECTIONS_PER_ADDRESS, max(connections // 4, 1)),
        refused=files.connections - connections,
    )
