"""Routes for operators: liveness, readiness, metrics."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.errors import BrokerUnreachableError, StoppingError, StoreError

log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[str]]
"""Returns "" if the coordinator can work, or a sentence on what an operator still has to mend.
Raises StoreError or BrokerUnreachableError if it cannot work, and StoppingError if it soon will
not."""


def operation_routes(ready: Probe, registry: CollectorRegistry) -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`, for operators' machines; none needs credentials."""

    async def health(_: Request) -> Response:
        return answer({"status": "ok"})

    async def readiness(_: Request) -> Response:
        """200 if the database answers, and the broker if there is one, and the coordinator is not
        stopping; else 503."""
        try:
            detail = await ready()
        except (StoreError, BrokerUnreachableError, StoppingError) as error:
            log.warning("not_ready", error=str(error))
            raise
        return answer({"status": "ready", **({"detail": detail} if detail else {})})

    async def metrics(_: Request) -> Response:
        # With thousands of colos this takes a second.
        text = await asyncio.to_thread(generate_latest, registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    return [
        Route("/healthz", health, name="health"),
        Route("/readyz", readiness, name="ready"),
        Route("/metrics", metrics, name="metrics"),
    ]
