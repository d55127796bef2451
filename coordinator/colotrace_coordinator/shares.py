"""Fair shares of a bounded pool, and token buckets: pure, `now` in seconds.

A pool with one bound in all can be used up by a single holder. A holder is what can be told apart
by something that it cannot choose freely: a certificate, an address, a colo.
"""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from colotrace_proto.identifiers import address_of

H = TypeVar("H", bound=Hashable)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FREE_TIMES = 4
_HOLDERS = 20_000


def parse(text: str) -> Address | None:
    """The address; IPv4 if it is an IPv4-mapped IPv6 address. None if the text is no address."""
    address = address_of(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def holder_of(text: str) -> str | None:
    """The key under which an address is counted: an IPv4 address itself, or the /64 of an IPv6
    address, since one host may use all of its /64. A zone (%eth0) is ignored.

    None if the text is no address.
    """
    address = parse(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return None if address is None else str(address)


class Shares(Generic[H]):
    """A pool of `size`. Each holder may take `most`, and at most `free_times` what is free, so that
    something is always left for the next holder (dynamic thresholds, Choudhury and Hahne 1998)."""

    def __init__(self, size: int, most: int, *, free_times: int = _FREE_TIMES) -> None:
        self._size = size
        self._most = most
        self._free_times = free_times
        self._held: Counter[H] = Counter()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def take(self, holder: H) -> bool:
        """Take one more for the holder; False if it has its share."""
        free = self._size - self._total
        if self._held[holder] >= min(self._most, self._free_times * free):
            if not self._held[holder]:
                del self._held[holder]
            return False
        self._held[holder] += 1
        self._total += 1
        return True

    def release(self, holder: H) -> None:
        """Give one back."""
        self._total -= 1
        self._held[holder] -= 1
        if not self._held[holder]:
            del self._held[holder]

    def held(self, holder: H) -> int:
        """The number that the holder has taken."""
        return self._held.get(holder, 0)


class TokenBuckets(Generic[H]):
    """A token bucket for each holder: `rate` tokens a second, at most `burst`.

    A bucket outlives its holder's connections, so that reconnecting does not refill it. Beyond
    20,000 buckets the least recently used is evicted; by then it is mostly full again.
    """

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[H, tuple[float, float]] = OrderedDict()

    def spend(self, holder: H, cost: float, now: float) -> bool:
        """Take `cost` tokens from the holder's bucket. False if it has fewer; then none is
        taken."""
        tokens = self._tokens(holder, now)
        enough = tokens >= cost
        self._keep(holder, tokens - cost if enough else tokens, now)
        return enough

    def credit(self, holder: H, amount: float, now: float) -> None:
        """Add tokens to the holder's bucket, up to `burst`."""
        self._keep(holder, min(self._burst, self._tokens(holder, now) + amount), now)

    def empty(self, holder: H, now: float, *, for_s: float) -> None:
        """Leave the holder without tokens for `for_s` seconds."""
        self._keep(holder, -self._rate * for_s, now)

    def _tokens(self, holder: H, now: float) -> float:
        tokens, at = self._buckets.get(holder, (self._burst, now))
        return min(self._burst, tokens + (now - at) * self._rate)

    def _keep(self, holder: H, tokens: float, now: float) -> None:
        self._buckets[holder] = tokens, now
        self._buckets.move_to_end(holder)
        if len(self._buckets) > _HOLDERS:
            self._buckets.popitem(last=False)
