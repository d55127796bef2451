"""From a request to its answer: the fan-out, run by asyncio.

Put together so (each later part uses the earlier ones):

    metrics = Metrics(prometheus_registry)
    registry = Registry(colo_memory)
    asns = AsnTable(path, log=log, clock=time.monotonic)          # only with --asn-db
    async with Names(resolver=resolver, metrics=metrics, log=log) as names:
        service = TraceService(registry=registry, names=names, asns=asns,
                               policy=TargetPolicy(allow_private=…), metrics=metrics, log=log)
        link = DirectLink(service.fleet, host=host, port=port, tls=None, log=log)
        await link.start()
        …                                                        # until told to stop
        await service.drain()       # refuses new requests, lets the running ones finish
        await link.stop()           # agents' streams end with UNAVAILABLE
"""

from structlog.typing import FilteringBoundLogger

from .enrich.asn import AsnTable
from .enrich.names import Names
from .links.base import Fleet
from .metrics import Metrics
from .model import Answer, ColoStatus, TraceRequest
from .policy import TargetPolicy
from .registry import Registry


class StoppingError(Exception):
    """The coordinator is stopping and takes no new request (HTTP 503)."""


class TraceService:
    """The `Tracer` that asks real agents. To be made inside a running event loop."""

    def __init__(
        self,
        *,
        registry: Registry,
        names: Names | None,
        asns: AsnTable | None,
        policy: TargetPolicy,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        raise NotImplementedError

    @property
    def fleet(self) -> Fleet:
        """What links report to."""
        raise NotImplementedError

    def colos(self) -> list[ColoStatus]:
        """Every known colo, by name."""
        raise NotImplementedError

    async def trace(self, request: TraceRequest) -> Answer:
        """The whole answer, within 25 s; cancelling the call takes its jobs back.

        Raises:
            StoppingError: `drain` has been called.
        """
        raise NotImplementedError

    async def drain(self) -> None:
        """Refuse new requests, and wait until the running ones have their answers."""
        raise NotImplementedError
