"""Digests of all valid secrets, in memory.

They are asked instead of the database while many wrong secrets arrive. So a flood of wrong tokens
costs no query, and a valid token from the same address is still accepted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from colotrace_coordinator.errors import StoreError

log = structlog.get_logger(__name__)

REFRESH_S = 5.0


class KnownSecrets:
    """The digests that `load` returns, at most `refresh_s` old; loaded at the first use."""

    def __init__(
        self,
        load: Callable[[], Awaitable[frozenset[bytes]]],
        *,
        refresh_s: float = REFRESH_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._refresh_s = refresh_s
        self._monotonic = monotonic
        self._digests: frozenset[bytes] = frozenset()
        self._fresh_until = float("-inf")
        self._loading: asyncio.Task[None] | None = None

    async def has(self, digest: bytes) -> bool:
        """Whether the digest was a valid secret's at the last load."""
        if self._loading is None and self._monotonic() >= self._fresh_until:
            self._loading = asyncio.create_task(self._refresh(), name="known-secrets")
        if self._loading is not None and self._fresh_until == float("-inf"):
            await asyncio.shield(self._loading)
        return digest in self._digests

    async def _refresh(self) -> None:
        try:
            self._digests = await self._load()
        except StoreError as error:
            log.warning("known_secrets_not_loaded", error=str(error))
        finally:
            self._fresh_until = self._monotonic() + self._refresh_s
            self._loading = None
