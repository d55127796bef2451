"""Routes for operators: liveness, readiness, metrics."""

from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from colotrace_coordinator.api.envelope import answer
from colotrace_coordinator.errors import BrokerUnreachableError, StoreError

log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[str]]
"""Returns "" if the coordinator can work, or a sentence on what an operator still has to mend.
Raises StoreError or BrokerUnreachableError if it cannot work."""


class Health:
    """What operators' machines ask; none of it needs credentials."""

    def __init__(self, *, ready: Probe, registry: CollectorRegistry) -> None:
        self._ready = ready
        self._registry = registry

    async def alive(self, _: Request) -> Response:
        """The process answers."""
        return answer({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """200 if the database answers, and the broker if there is one; else 503."""
        try:
            detail = await self._ready()
        except (StoreError, BrokerUnreachableError) as error:
            log.warning("not_ready", error=str(error))
            raise
        return answer({"status": "ready", **({"detail": detail} if detail else {})})

    async def metrics(self, _: Request) -> Response:
        """Prometheus' text format."""
        return Response(
            generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST}
        )


def operation_routes(ready: Probe, registry: CollectorRegistry) -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`."""
    health = Health(ready=ready, registry=registry)
    return [
        Route("/healthz", health.alive, name="health"),
        Route("/readyz", health.ready, name="ready"),
        Route("/metrics", health.metrics, name="metrics"),
    ]
