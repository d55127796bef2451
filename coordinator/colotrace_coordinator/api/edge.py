"""The outermost middleware: gives each request an id, a log line and metrics, and answers with an
error if the application raised one.

Answers that come from no route (404, malformed requests) pass here too.
"""

import time
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .context import CLIENT_GONE, RequestContext
from .envelope import refusal
from .errors import ApiError, RateLimitedError, describe
from .metrics import HttpMetrics
from .quota import Quota

log = structlog.get_logger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"health", "ready", "metrics"})


class Edge:
    """Wraps the application. `untouched` is the full quota, shown until the credential's own is
    known; None if nothing is limited."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: HttpMetrics,
        untouched: Quota | None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._untouched = untouched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(self._untouched)
        scope.setdefault("state", {})["context"] = context

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                _add_headers(message, context)
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._run(scope, receive, send_with_headers)
        except ClientDisconnect:
            pass
        except Exception as error:
            described = describe(error, path=scope["path"])
            if isinstance(error, RateLimitedError):
                scope["state"]["hold"] = True  # see `http/connection.py`
            if isinstance(error, ApiError) and error.quota is not None:
                context.quota = error.quota
            if described.status == 500:
                log.exception("request_failed", request_id=context.request_id)
            if context.status is None:
                response = refusal(described.status, described.errors, described.headers)
                await response(scope, receive, send_with_headers)
        finally:
            self._metrics.in_flight.dec()
            self._record(scope, context)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: ApiError | None = scope["state"].pop("refused", None)
        if refused is not None:
            # The request was malformed; `http/connection.py` passes a placeholder.
            scope["method"] = scope["path"] = ""
            raise refused
        await self._app(scope, receive, send)

    def _record(self, scope: Scope, context: RequestContext) -> None:
        route = getattr(scope.get("route"), "name", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status = context.status or CLIENT_GONE
        seconds = time.monotonic() - context.began
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        client: Any = scope.get("client")
        say = log.debug if route in _QUIET and status < 400 else log.info
        say(
            "request",
            method=method,
            path=scope["path"],
            status=status,
            ms=round(seconds * 1_000, 1),
            client=client[0] if client else None,
            account=context.account_id,
            credential=context.credential_id,
            request_id=context.request_id,
        )


def _add_headers(message: Message, context: RequestContext) -> None:
    """Add the headers that every answer has."""
    headers = MutableHeaders(scope=message)
    headers["cf-ray"] = context.request_id
    headers["x-content-type-options"] = "nosniff"
    if context.quota is not None:
        headers.update(context.quota.headers())
