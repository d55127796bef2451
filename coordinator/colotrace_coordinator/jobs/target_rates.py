"""What one target may get: packets a second, from the fleet for one account, and for all accounts.

Pure; `now` is in seconds. Each target has a token bucket for each account and one for all. A trace
takes as many tokens as it may send packets, before it starts. Traces that wait are started as the
bucket refills, so that their starts are spread over time.
"""

from collections import OrderedDict
from dataclasses import dataclass

BURST_S = 1.0
"""A target that got nothing for this long may get as much at once."""
_MAX_TARGETS = 50_000

Target = str
"""An address as text, or a name whose address is not known yet."""


@dataclass(frozen=True, slots=True)
class TargetLimits:
    """Packets a second to one target: for each account, and for all together."""

    of_account: float
    in_all: float


UNLIMITED = TargetLimits(1e12, 1e12)


class TargetRates:
    """The buckets of all targets. Beyond 50,000, the least recently used is dropped; by then it is
    full again."""

    def __init__(self, limits: TargetLimits) -> None:
        self._limits = limits
        # For (account, target) and ("", target): when the bucket will be full again.
        self._full_at: OrderedDict[tuple[str, Target], float] = OrderedDict()

    def open_at(self, account: str, target: Target, now: float) -> float:
        """When a trace of the target may start: `now` or later. It may start while its buckets are
        not empty, and then take more than they hold."""
        keys = (account, target), ("", target)
        return max(now, *(self._full_at.get(key, now) - BURST_S for key in keys))

    def pause_s(self, packets: int) -> float:
        """How long an account's limit lets so many packets take."""
        return packets / self._limits.of_account

    def spend(self, account: str, target: Target, packets: int, now: float) -> None:
        """Take the packets of a trace that starts, or that turns out to go to this address."""
        for key, rate in (
            ((account, target), self._limits.of_account),
            (("", target), self._limits.in_all),
        ):
            self._full_at[key] = max(now, self._full_at.get(key, now)) + packets / rate
            self._full_at.move_to_end(key)
        while len(self._full_at) > _MAX_TARGETS:
            self._full_at.popitem(last=False)
