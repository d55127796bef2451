"""The HTTP servers: the API's, that of operation, and that of enrolment."""

import asyncio
from dataclasses import dataclass
from importlib.metadata import version

import structlog
from colotrace_proto.descriptors import raise_limit

from colotrace_coordinator.api.app import create_app, create_enrolment_app, create_operation_app
from colotrace_coordinator.api.http.server import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_ADDRESS,
    Certificate,
    HttpServer,
    Limits,
    ServerCertificate,
)
from colotrace_coordinator.api.metrics import HttpMetrics
from colotrace_coordinator.api.streams import Streams
from colotrace_coordinator.descriptors import share
from colotrace_coordinator.enrolment.administration import Administration
from colotrace_coordinator.errors import StoppingError
from colotrace_coordinator.fleet.registry import MAX_AGENTS

from .base import Base, Store
from .enrolling import Enrolling
from .links import Links
from .tracing import Tracing

log = structlog.get_logger("colotrace_coordinator")

_OPERATION = Limits(connections=100, connections_per_address=50, refused=5)
_ENROLMENT = Limits(connections=200, connections_per_address=100, refused=5)


@dataclass(frozen=True, slots=True)
class Servers:
    """The HTTP servers. `operation` is None if the API's has the routes of operation too, and
    `enrolment` if the coordinator has no CA of its own."""

    api: HttpServer
    streams: Streams
    operation: HttpServer | None
    enrolment: HttpServer | None


def build_servers(
    base: Base,
    store: Store,
    enrolling: Enrolling | None,
    links: Links,
    tracing: Tracing,
    stopping: asyncio.Event,
) -> Servers:
    """The servers. Once `stopping` is set, `/readyz` refuses."""
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
        administration=Administration(store.database),
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
