"""Names of addresses (PTR), cached, and never longer waited for than an answer can bear."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.metrics import Metrics


class ResolverError(Exception):
    """The name server cannot be used, and why in words."""


class Names:
    """Looks names up. Used as `async with`: leaving it ends what is still being looked up.

    Raises:
        ResolverError: `resolver` is no HOST or HOST:PORT, or the system names no server.
    """

    def __init__(
        self, *, resolver: str | None, metrics: Metrics, log: FilteringBoundLogger
    ) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    def prefetch(self, addresses: Iterable[str]) -> None:
        """Begin to look up what is not known yet."""
        raise NotImplementedError

    async def names(self, addresses: Iterable[str], *, wait_s: float) -> dict[str, str]:
        """The names that are known within `wait_s` seconds; addresses without one are absent."""
        raise NotImplementedError
