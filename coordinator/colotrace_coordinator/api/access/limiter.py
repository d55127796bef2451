"""Limits of requests for each credential, and of failures for each address and secret.

Fixed windows of five minutes, as in the public API. They use the monotonic clock, so that a change
of the wall clock neither ends nor extends a window. (The library `limits` uses the wall clock.)
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from colotrace_coordinator.api.errors import RateLimitedError
from colotrace_coordinator.api.http import clients
from colotrace_coordinator.api.quota import WINDOW_S, Quota

MAX_ADDRESSES = 10_000
"""Addresses, and secrets, that are counted separately. All further ones share one count, so that
memory is bounded."""
MAX_CREDENTIALS = 100_000


class Limiter:
    """Counts in memory. Each coordinator counts on its own."""

    def __init__(
        self,
        *,
        per_credential: int,
        failures_per_address: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.per_credential = per_credential
        self._requests = _Window(per_credential, most=MAX_CREDENTIALS, clock=clock)
        self._failures = _Window(failures_per_address, most=MAX_ADDRESSES, clock=clock)
        self._guesses = _Window(failures_per_address, most=MAX_ADDRESSES, clock=clock)

    def untouched(self) -> Quota:
        """The quota of a credential without requests."""
        return Quota(self.per_credential, self.per_credential, WINDOW_S)

    def request(self, credential_id: str) -> Quota:
        """Count a request of the credential.

        Raises:
            RateLimitedError: the credential has no request left.
        """
        return self._requests.hit(credential_id)

    def may_fail(self, address: str, digest: str) -> bool:
        """Whether the address and the secret with that digest have a failure left. Without one, the
        secret is not looked up."""
        return self._failures.left(clients.key(address)) > 0 and self._guesses.left(digest) > 0

    def wrong(self, digest: str) -> None:
        """Count that the secret with that digest was looked up and is not valid."""
        self._guesses.count(digest)

    def failure(self, address: str) -> Quota:
        """Count a failed authentication from the address.

        Raises:
            RateLimitedError: the address had no failure left.
        """
        return self._failures.hit(clients.key(address))


class _Window:
    """Counts at most `limit` for each key, in a window that starts with the key's first count."""

    def __init__(self, limit: int, *, most: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._most = most
        self._clock = clock
        # The end of each key's window and its count, in the order of the ends.
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._others = (0.0, 0)

    def hit(self, key: str) -> Quota:
        """Count one.

        Raises:
            RateLimitedError: none is left.
        """
        until, used = self.count(key)
        reset_s = min(max(math.ceil(until - self._clock()), 1), WINDOW_S)
        quota = Quota(self._limit, max(self._limit - used, 0), reset_s)
        if used > self._limit:
            raise RateLimitedError(quota)
        return quota

    def left(self, key: str) -> int:
        """How many are left."""
        _, used = self._counted(key)
        return max(self._limit - used, 0)

    def count(self, key: str) -> tuple[float, int]:
        """Count one. Returns the end of the window, and the count, which is at most one above the
        limit."""
        until, used = self._counted(key)
        counted = until, min(used + 1, self._limit + 1)
        if key in self._counts or len(self._counts) < self._most or self._forget():
            self._counts[key] = counted
        else:
            self._others = counted
        return counted

    def _counted(self, key: str) -> tuple[float, int]:
        now = self._clock()
        fresh = now + WINDOW_S, 0
        counted = self._counts.get(key)
        if counted is not None:
            if counted[0] > now:
                return counted
            del self._counts[key]
        if len(self._counts) < self._most or self._forget():
            return fresh
        return self._others if self._others[0] > now else fresh

    def _forget(self) -> bool:
        """Delete the oldest window if it has ended; whether it has."""
        key, (until, _) = next(iter(self._counts.items()))
        if until > self._clock():
            return False
        del self._counts[key]
        return True
