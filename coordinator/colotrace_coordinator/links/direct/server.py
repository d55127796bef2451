"""The gRPC server that agents attach to."""

from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.links.base import Fleet


class BindError(Exception):
    """The address cannot be listened on, and why in words."""


class TlsError(Exception):
    """The certificates cannot be used, and why in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files: the server's own, and the authority that agents' certificates come from."""

    certificate: Path
    key: Path
    client_authority: Path


class DirectLink:
    """The link of agents that dial in themselves. `tls=None` serves in the clear."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        host: str,
        port: int,
        tls: TlsFiles | None,
        log: FilteringBoundLogger,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> int:
        """Listen; returns the port, which is drawn where 0 was asked for.

        Raises:
            BindError: the address cannot be listened on.
            TlsError: the certificates cannot be used.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """End every stream with UNAVAILABLE, so that agents come back to whoever is next."""
        raise NotImplementedError
