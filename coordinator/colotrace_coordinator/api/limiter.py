"""How many requests a credential may make, and how many failures an address.

Both are fixed windows of five minutes, as the public API counts.
"""

import ipaddress
import time

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from .errors import RateLimitedError
from .quota import WINDOW_S, Quota

MAX_ADDRESSES = 10_000
"""Counted apart; beyond, strangers share one count, so that memory stays bounded."""


class Limiter:
    """Counts in memory; each coordinator counts for itself."""

    def __init__(self, *, per_credential: int, failures_per_address: int) -> None:
        self.per_credential = per_credential
        self._requests = _Window(per_credential)
        self._failures = _Window(failures_per_address)

    def untouched(self) -> Quota:
        """What someone has who has not asked yet."""
        return Quota(self.per_credential, self.per_credential, WINDOW_S)

    async def request(self, credential_id: str) -> Quota:
        """Count a request of the credential.

        Raises:
            RateLimitedError: it has none left.
        """
        return await self._requests.hit(credential_id)

    async def failure(self, address: str) -> Quota:
        """Count a failed authentication from the address.

        Raises:
            RateLimitedError: it had no failure left.
        """
        return await self._failures.hit(_network(address))


class _Window:
    def __init__(self, limit: int) -> None:
        self._item = RateLimitItemPerSecond(limit, WINDOW_S)
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)

    async def hit(self, key: str) -> Quota:
        key = self._bounded(key)
        allowed = await self._limiter.hit(self._item, key)
        quota = await self.look(key)
        if not allowed:
            raise RateLimitedError(quota)
        return quota

    async def look(self, key: str) -> Quota:
        stats = await self._limiter.get_window_stats(self._item, self._bounded(key))
        reset_s = round(stats.reset_time - time.time())
        # Nothing counted yet reads as a window that ends now.
        untouched = stats.remaining >= self._item.amount
        return Quota(
            self._item.amount,
            max(stats.remaining, 0),
            WINDOW_S if untouched else min(max(reset_s, 1), WINDOW_S),
        )

    def _bounded(self, key: str) -> str:
        counted = self._storage.storage
        full = len(counted) >= MAX_ADDRESSES and self._item.key_for(key) not in counted
        return "others" if full else key


def _network(address: str) -> str:
    """The address, or an IPv6 host's /64, of which one host may use every address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
