"""Limits of requests for each credential, and of failures for each address and secret.

Fixed windows of five minutes, as in the public API. They use the monotonic clock, so that a change
of the wall clock neither ends nor extends a window. (The library `limits` uses the wall clock.)
"""

import time
from collections.abc import Callable

from colotrace_coordinator.api.http import clients
from colotrace_coordinator.api.quota import WINDOW_S, Quota
from colotrace_coordinator.peers.peers import Peers

from .windows import Windows

MAX_ADDRESSES = 10_000
"""Addresses, and secrets, that are counted separately. All further ones share one count, so that
memory is bounded."""
MAX_CREDENTIALS = 100_000


class Limiter:
    """Counts in memory. Requests are counted by all coordinators together if there are `peers`;
    failures are counted by each."""

    def __init__(
        self,
        *,
        per_credential: int,
        failures_per_address: int,
        clock: Callable[[], float] = time.monotonic,
        peers: Peers | None = None,
    ) -> None:
        self.per_credential = per_credential
        self._requests = Windows(
            per_credential, most=MAX_CREDENTIALS, clock=clock, shared=peers is not None
        )
        if peers is not None:
            peers.share("requests", self._requests)
        self._failures = Windows(failures_per_address, most=MAX_ADDRESSES, clock=clock)
        self._guesses = Windows(failures_per_address, most=MAX_ADDRESSES, clock=clock)

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
