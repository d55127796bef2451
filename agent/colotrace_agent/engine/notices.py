"""What there is to say of a trace beside its row: whose fault is it that something is missing."""

from collections.abc import Collection, Iterator
from ipaddress import ip_address
from typing import Protocol

from .refusals import Refuser

_LIMITS = "probably limits the rate of its answers, since hops beyond it lost nothing"
_TAKEN_FOR_TARGET = (
    "answered port unreachable and is taken for another address of the target; it may be a "
    "firewall on the way"
)
_TAKEN_FOR_FIREWALL = (
    "answered port unreachable and is taken for a firewall on the way; it may be another address "
    "of the target"
)
_NAMED = 4
_KNOWN_TO_LIMIT = "asked less often, since its router is known to limit its answers"


class Counted(Protocol):
    """A trace, or several as one: what it counted beside answers (see `Trace`)."""

    @property
    def reached(self) -> bool:
        """Whether the target answered."""

    @property
    def spared(self) -> Collection[int]:
        """TTLs whose routers were asked less than they should have been, for their limits."""

    @property
    def unplaced(self) -> int:
        """Answers of the target that name no probe."""

    @property
    def uncertain(self) -> Collection[Refuser]:
        """Refusers that may be the target or a firewall."""

    @property
    def overflows(self) -> int:
        """Packets that the host had no room for."""

    @property
    def unstamped(self) -> int:
        """Answers whose probe's departure the kernel has not stamped."""

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock was set under way."""

    @property
    def detour(self) -> bool:
        """Whether probes may have left by another next hop than the host's other such traffic."""


class Judged(Counted, Protocol):
    """One trace that has ended."""

    @property
    def limiting(self) -> Collection[int]:
        """TTLs of routers that have probably kept answers back, for their limits."""


def notices(trace: Judged) -> tuple[str, ...]:
    """Sentences for the answer's messages; none where all is as it should be."""
    return said_of(trace, limiting=trace.limiting)


def said_of(counted: Counted, *, limiting: Collection[int]) -> tuple[str, ...]:
    """The same of a trace or several, where the hops of these TTLs limit their answers."""
    said = (
        _at_hops(limiting, _LIMITS),
        _at_hops(counted.spared, _KNOWN_TO_LIMIT),
        _unplaced(counted),
        *_refusers(counted.uncertain),
        *_own_faults(counted),
    )
    return tuple(sentence for sentence in said if sentence)


def _at_hops(ttls: Collection[int], words: str) -> str:
    return f"hop {', '.join(map(str, sorted(ttls)))}: {words}" if ttls else ""


def _unplaced(trace: Counted) -> str:
    if not trace.unplaced or trace.reached:
        return ""
    return (
        f"the target gave {trace.unplaced} answers that name no probe: it is reached, at a TTL and "
        "in a time that they do not tell"
    )


def _refusers(uncertain: Collection[Refuser]) -> Iterator[str]:
    for is_target, words in ((True, _TAKEN_FOR_TARGET), (False, _TAKEN_FOR_FIREWALL)):
        those = sorted(each for each in uncertain if each.is_target == is_target)
        if those:
            named = [f"{ip_address(each.address)} at hop {each.ttl}" for each in those[:_NAMED]]
            more = f" and {len(those) - _NAMED} more" if len(those) > _NAMED else ""
            yield f"{', '.join(named)}{more} {words}"


def _own_faults(trace: Counted) -> tuple[str, ...]:
    return (
        f"this host had no room for {trace.overflows} packets that came in: some of what counts as "
        "lost may have been answered"
        if trace.overflows
        else "",
        f"this host did not stamp the departure of {trace.unstamped} probes: their times are less "
        "exact"
        if trace.unstamped
        else "",
        "this host's wall clock was set meanwhile: some times are by another clock, and less exact"
        if trace.clock_stepped
        else "",
        "this host's routing rules or equal routes could not be followed: its other traffic of "
        "this kind may leave by another first hop"
        if trace.detour
        else "",
    )
