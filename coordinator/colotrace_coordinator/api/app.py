"""The ASGI application: routes, middleware, and the answer where no route matches."""

import asyncio
from collections.abc import Sequence

from colotrace_proto.deadlines import LATEST_S
from colotrace_proto.running import TimeLimit
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from colotrace_coordinator.model import Measurements, Tracer
from colotrace_coordinator.peers.peers import Peers
from colotrace_coordinator.store.audit import Audit
from colotrace_coordinator.web.files import Page

from .access.access import Access
from .access.authenticator import REMEMBERED_S, Authenticator, CredentialSource
from .access.limiter import Limiter
from .audited import Auditor
from .edge import Edge
from .envelope import refusal
from .errors import describe
from .measure import Admission
from .metrics import HttpMetrics
from .openapi import describe_api
from .quota import Quota
from .reading import Reading
from .routes.agents import Agents
from .routes.colos import Colos
from .routes.credentials import Accounts, Tokens
from .routes.docs import docs_routes
from .routes.enrolment import Enrolment, Registrar
from .routes.events import Events
from .routes.fleet import Administration, FleetRoutes
from .routes.measurements import MeasurementRoutes
from .routes.operation import Probe, operation_routes
from .routes.paths import PathRoutes
from .routes.traceroute import Traceroute
from .routing import account_routes, api_routes
from .streams import Streams

ONE = "/{id:measurement}"
REQUESTS_PER_WINDOW = 1_200
FAILURES_PER_WINDOW = 100
MAX_MEASUREMENTS = 1_000


def create_app(
    *,
    tracer: Tracer,
    measurements: Measurements,
    credentials: CredentialSource,
    ready: Probe,
    registry: CollectorRegistry,
    version: str,
    audit: Audit | None = None,
    requests_per_window: int = REQUESTS_PER_WINDOW,
    failures_per_window: int = FAILURES_PER_WINDOW,
    max_measurements: int = MAX_MEASUREMENTS,
    answer_within_s: float = LATEST_S,
    remembered_s: float = REMEMBERED_S,
    metrics: HttpMetrics | None = None,
    operation: bool = True,
    limit: TimeLimit = asyncio.timeout,
    peers: Peers | None = None,
    streams: Streams | None = None,
    reading: Reading | None = None,
    administration: Administration | None = None,
) -> Starlette:
    """The public API, ready to be served.

    `ready` is asked by `/readyz`. `/metrics` shows all of `registry`. The quotas are per window of
    five minutes. A revoked credential is accepted for `remembered_s` at most. With
    `operation=False` the routes of operation are left out: `create_operation_app` serves them, and
    both applications share `metrics`. `limit` bounds the time of a measurement. With `peers`, all
    coordinators count requests together. Who follows a measurement is in `streams`;
    `reading` bounds the rows of kept ones in memory. `administration` administrates the fleet;
    without it, its routes are left out.
    """
    limiter = Limiter(
        per_credential=requests_per_window, failures_per_address=failures_per_window, peers=peers
    )
    access = Access(Authenticator(credentials, limiter, remembered_s=remembered_s))
    metrics = metrics or HttpMetrics(registry)
    streams = streams or Streams(metrics=metrics)
    auditor = Auditor(audit)
    traceroute = Traceroute(
        tracer,
        measurements,
        access=access,
        audit=auditor,
        admission=Admission(max_measurements),
        streams=streams,
        within_s=answer_within_s,
        limit=limit,
    )
    reading = reading or Reading()
    events = Events(measurements, access=access, streams=streams, reading=reading)
    kept = MeasurementRoutes(measurements, access=access, audit=auditor, reading=reading)
    paths = PathRoutes(measurements, access=access, reading=reading)
    colos = Colos(tracer, access=access)
    agents = Agents(tracer, access=access)
    fleet = FleetRoutes(administration, access=access, audit=auditor) if administration else None
    routes = account_routes(
        {
            **(fleet.table() if fleet is not None else {}),
            "traceroute": ("", {"POST": traceroute.post, "GET": kept.list}),
            "colos": ("/colos", {"GET": colos.get}),
            "agents": ("/agents", {"GET": agents.get}),
            "measurement": (ONE, {"GET": kept.show, "DELETE": kept.delete}),
            "events": (ONE + "/events", {"GET": events.get}),
            "rows": (ONE + "/rows", {"GET": kept.rows}),
            "diff": (ONE + "/diff/{other:measurement}", {"GET": paths.diff}),
            "graph": (ONE + "/graph", {"GET": paths.graph}),
        }
    )
    routes += api_routes(
        {
            "token": ("/user/tokens/verify", {"GET": Tokens(access=access).verify}),
            "accounts": ("/accounts", {"GET": Accounts(access=access).list}),
        }
    )
    if operation:
        routes += operation_routes(ready, registry)
    routes += Page().routes()
    routes += docs_routes(describe_api(version, operation=operation))
    return _app(routes, metrics, untouched=limiter.untouched())


def create_operation_app(
    *, ready: Probe, registry: CollectorRegistry, metrics: HttpMetrics
) -> Starlette:
    """`/healthz`, `/readyz` and `/metrics` alone, for a listener of their own."""
    return _app(operation_routes(ready, registry), metrics, untouched=None)


def create_enrolment_app(registrar: Registrar, *, metrics: HttpMetrics) -> Starlette:
    """The routes by which agents join and renew their certificates, for a listener of their own."""
    return _app(Enrolment(registrar).routes(), metrics, untouched=None)


def _app(routes: Sequence[Route], metrics: HttpMetrics, *, untouched: Quota | None) -> Starlette:
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Edge, metrics=metrics, untouched=untouched)],
        exception_handlers={HTTPException: _refuse},
    )
    app.router.redirect_slashes = False
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    described = describe(error, path=request.scope["path"])
    return refusal(described.status, described.errors, described.headers)
