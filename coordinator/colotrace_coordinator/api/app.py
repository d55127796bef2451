"""The application, put together from what is handed in."""

import asyncio

from colotrace_proto.running import TimeLimit
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.deadlines import ANSWER_S
from colotrace_coordinator.model import Tracer
from colotrace_coordinator.store.audit import Audit

from .auth import REMEMBERED_S, Authenticator, CredentialSource
from .colo_list import ColoList
from .docs import docs_router
from .edge import Edge
from .envelope import refusal
from .errors import describe
from .health import Health, Probe
from .limiter import Limiter
from .measure import Admission
from .metrics import HttpMetrics
from .openapi import describe_api
from .traceroute import Traceroute

BASES = ("/client/v4", "", "/client/v4/", "/")
"""Clients differ in whether their base URL has the prefix; old ones put one more slash after it."""
REQUESTS_PER_WINDOW = 1_200
FAILURES_PER_WINDOW = 100
MAX_MEASUREMENTS = 1_000


def create_app(
    *,
    tracer: Tracer,
    credentials: CredentialSource,
    ready: Probe,
    registry: CollectorRegistry,
    version: str,
    audit: Audit | None = None,
    requests_per_window: int = REQUESTS_PER_WINDOW,
    failures_per_window: int = FAILURES_PER_WINDOW,
    max_measurements: int = MAX_MEASUREMENTS,
    answer_within_s: float = ANSWER_S,
    remembered_s: float = REMEMBERED_S,
    metrics: HttpMetrics | None = None,
    operation: bool = True,
    limit: TimeLimit = asyncio.timeout,
) -> FastAPI:
    """The HTTP side, ready to be served.

    `ready` returns if the coordinator can work, and raises as `health.Probe` says;
    `registry` is shown at `/metrics`, whoever fills it; a window is five minutes;
    `remembered_s` is how long a revoked credential may still be taken. Where the routes of
    operation have an application of their own (`create_operation_app`), `operation` is False
    here, and both share their `metrics`. `limit`
    bounds the time of a measurement.
    """
    register_url_convertor("account", _AccountId())
    limiter = Limiter(per_credential=requests_per_window, failures_per_address=failures_per_window)
    who = Authenticator(credentials, limiter, remembered_s=remembered_s)
    traceroute = Traceroute(
        tracer,
        who=who,
        audit=audit,
        admission=Admission(max_measurements),
        within_s=answer_within_s,
        limit=limit,
    )
    colos = ColoList(tracer, who=who)

    app = FastAPI(
        title="colotrace",
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    document = describe_api(version, operation=operation)
    app.openapi = lambda: document  # type: ignore[method-assign]
    for base in BASES:
        for slash in ("", "/"):
            path = base + "/accounts/{account_id:account}/diagnostics/traceroute"
            app.add_api_route(path + slash, traceroute, methods=["POST"], name="traceroute")
            path += "/colos"
            app.add_api_route(path + slash, colos, methods=["GET"], name="colos")
    if operation:
        _add_operation(app, Health(ready=ready, registry=registry))
    app.include_router(docs_router(app.title))
    app.add_exception_handler(HTTPException, _refuse)
    metrics = metrics or HttpMetrics(registry)
    app.add_middleware(Edge, metrics=metrics, untouched=limiter.untouched())
    return app


def create_operation_app(
    *, ready: Probe, registry: CollectorRegistry, metrics: HttpMetrics
) -> FastAPI:
    """`/healthz`, `/readyz` and `/metrics` alone, for a listener of their own."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    _add_operation(app, Health(ready=ready, registry=registry))
    app.add_exception_handler(HTTPException, _refuse)
    app.add_middleware(Edge, metrics=metrics, untouched=None)
    return app


def _add_operation(app: FastAPI, health: Health) -> None:
    for path, endpoint, name in (
        ("/healthz", health.alive, "health"),
        ("/readyz", health.ready, "ready"),
        ("/metrics", health.metrics, "metrics"),
    ):
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], name=name)


class _AccountId(Convertor[str]):
    """An account's id as a part of a path; what is longer is no route."""

    regex = "[^/]{1,32}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


async def _refuse(request: Request, error: Exception) -> Response:
    described = describe(error, path=request.scope["path"])
    return refusal(described.status, described.errors, described.headers)
