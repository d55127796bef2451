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
        exchange = _Exchange(scope, send, self._untouched)
        self._metrics.in_flight.inc()
        try:
            await self._run(scope, receive, exchange.send)
        except ClientDisconnect:
            pass
        except Exception as error:
            described = describe(error, path=scope["path"])
            if isinstance(error, RateLimitedError):
                scope["state"]["hold"] = True  # see `http/connection.py`
            if isinstance(error, ApiError) and error.quota is not None:
                exchange.context.quota = error.quota
            if described.status == 500:
                log.exception("request_failed", request_id=exchange.context.request_id)
            if exchange.status is None:
                response = refusal(described.status, described.errors, described.headers)
                await response(scope, receive, exchange.send)
        finally:
            self._metrics.in_flight.dec()
            self._record(scope, exchange)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: ApiError | None = scope["state"].pop("refused", None)
        if refused is not None:
            # The request was malformed; `http/connection.py` passes a placeholder.
            scope["method"] = scope["path"] = ""
            raise refused
        await self._app(scope, receive, send)

    def _record(self, scope: Scope, exchange: "_Exchange") -> None:
        route = getattr(scope.get("route"), "name", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status = exchange.status or CLIENT_GONE
        seconds = time.monotonic() - exchange.context.began
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
            account=exchange.context.account_id,
            credential=exchange.context.credential_id,
            request_id=exchange.context.request_id,
        )


class _Exchange:
    """One request and the status of its answer."""

    def __init__(self, scope: Scope, send: Send, quota: Quota | None) -> None:
        self.status: int | None = None
        self.context = RequestContext(quota)
        scope.setdefault("state", {})["context"] = self.context
        self._send = send

    async def send(self, message: Message) -> None:
        """Send, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["cf-ray"] = self.context.request_id
            headers["x-content-type-options"] = "nosniff"
            if self.context.quota is not None:
                for name, value in self.context.quota.headers().items():
                    headers[name] = value
        await self._send(message)
