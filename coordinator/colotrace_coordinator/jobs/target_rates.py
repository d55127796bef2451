"""What one target may get: packets a second, from the fleet for one account, and for all accounts.

Pure; `now` is in seconds. Each target has a token bucket for each account and one for all. A trace
takes as many tokens as it may send packets, before it starts. Traces that wait are started as the
bucket refills, so that their starts are spread over time.
"""

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from colotrace_proto.addresses import unwrapped
from colotrace_proto.identifiers import address_of

from colotrace_coordinator.peers.counts import Count

BURST_S = 1.0
"""A target that got nothing for this long may get as much at once."""
REPORTED_WITHIN_S = 5.0
"""Packets are reported to other coordinators this soon, or not at all: later they say nothing of
what the target gets now."""
_MAX_TARGETS = 50_000

Target = str
"""An address as text, or a name whose address is not known yet."""


@dataclass(frozen=True, slots=True)
class TargetLimits:
    """Packets a second to one target: for each account, and for all together."""

    of_account: float
    in_all: float


@functools.lru_cache(maxsize=1 << 14)
def target_of(text: str) -> Target:
    """The target that a name or an address means, in one spelling. An IPv6 address that a router
    translates to an IPv4 address, or that has one embedded, is that IPv4 address."""
    address = address_of(text)
    return text.lower().rstrip(".") if address is None else str(unwrapped(address))


UNLIMITED = TargetLimits(1e12, 1e12)


class TargetRates:
    """The buckets of all targets. Beyond 50,000, the least recently used is dropped, which is
    harmless if it has refilled. Implements `peers.counts.Counts`: packets of other coordinators
    count as well, and all of them share the burst."""

    def __init__(
        self, limits: TargetLimits, *, coordinators: Callable[[], int] = lambda: 1
    ) -> None:
        self._limits = limits
        self._coordinators = coordinators
        self._unreported: dict[tuple[str, Target], int] = {}
        self._unreported_since = 0.0
        # For (account, target) and ("", target): when the bucket will be full again.
        self._full_at: OrderedDict[tuple[str, Target], float] = OrderedDict()

    def open_at(self, account: str, target: Target, now: float) -> float:
        """When a trace of the target may start: `now` or later. It may start while its buckets are
        not empty, and then take more than they hold."""
        of_account = self._full_at.get((account, target), now)
        in_all = self._full_at.get(("", target), now)
        return max(now, max(of_account, in_all) - BURST_S / self._coordinators())

    def pause_s(self, packets: int) -> float:
        """How long an account's limit lets so many packets take."""
        return packets / self._limits.of_account

    def spend(self, account: str, target: Target, packets: int, now: float) -> None:
        """Take the packets of a trace that starts, or that turns out to go to this address. A
        negative number gives packets back."""
        if now - self._unreported_since > REPORTED_WITHIN_S:
            self._unreported.clear()
        if not self._unreported:
            self._unreported_since = now
        key = account, target
        self._unreported[key] = self._unreported.get(key, 0) + packets
        self._take(account, target, packets, now)

    def _take(self, account: str, target: Target, packets: int, now: float) -> None:
        for key, rate in (
            ((account, target), self._limits.of_account),
            (("", target), self._limits.in_all),
        ):
            self._full_at[key] = max(now, self._full_at.get(key, now)) + packets / rate
            self._full_at.move_to_end(key)
        while len(self._full_at) > _MAX_TARGETS:
            self._full_at.popitem(last=False)

    # Counts of all coordinators

    key_parts = 2

    def changes(self, now: float) -> Iterator[Count]:
        """See `Counts`. A number is below 0 if more was given back than taken."""
        unreported, self._unreported = self._unreported, {}
        if now - self._unreported_since <= REPORTED_WITHIN_S:
            for key, packets in unreported.items():
                if packets:
                    yield Count(key, packets)

    def everything(self) -> Iterator[Count]:
        """See `Counts`: nothing, since the buckets are full again within seconds."""
        return iter(())

    def heard(self, origin: str, count: Count, now: float, *, whole: bool) -> None:  # noqa: ARG002
        """See `Counts`."""
        account, target = count.key
        self._take(account, target, count.number, now)

    def gone(self, origin: str) -> None:
        """See `Counts`: its packets have been sent."""
