"""Routes for those who run the coordinator: alive, ready, numbers."""

from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import Response

from colotrace_coordinator.errors import BrokerUnreachableError, StoreError

from .envelope import answer

log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[str]]
"""Returns if the coordinator can work, with what an operator has to mend all the same, or "".
Raises StoreError or BrokerUnreachableError if it cannot."""


class Health:
    """What operators' machines ask; none of it needs credentials."""

    def __init__(self, *, ready: Probe, registry: CollectorRegistry) -> None:
        self._ready = ready
        self._registry = registry

    async def alive(self) -> Response:
        """The process answers."""
        return answer({"status": "ok"})

    async def ready(self) -> Response:
        """The database answers too, and the broker if there is one; 503 where they do not."""
        try:
            detail = await self._ready()
        except (StoreError, BrokerUnreachableError) as error:
            log.warning("not_ready", error=str(error))
            raise
        return answer({"status": "ready", **({"detail": detail} if detail else {})})

    async def metrics(self) -> Response:
        """Prometheus' text format."""
        return Response(
            generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST}
        )
