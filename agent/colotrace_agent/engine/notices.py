"""What there is to say of a trace beside its row: whose fault is it that something is missing."""

from collections.abc import Collection
from typing import Protocol

from .trace import Trace


class Counted(Protocol):
    """A trace, or several as one: what it counted beside answers (see `Trace`)."""

    @property
    def reached(self) -> bool:
        """Whether the target answered."""

    @property
    def datagrams(self) -> int:
        """Datagrams of the target that name no probe."""

    @property
    def overflows(self) -> int:
        """Packets that the host had no room for."""

    @property
    def unstamped(self) -> int:
        """Answers whose probe's departure the kernel has not stamped."""

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock was set under way."""


def notices(trace: Trace) -> tuple[str, ...]:
    """Sentences for the answer's messages; none where all is as it should be."""
    return said_of(trace, limiting=limiting(trace))


def said_of(counted: Counted, *, limiting: Collection[int]) -> tuple[str, ...]:
    """The same of a trace or several, where the hops of these TTLs limit their answers."""
    said = (_limiters(limiting), _datagrams(counted), *_own_faults(counted))
    return tuple(sentence for sentence in said if sentence)


def limiting(trace: Trace) -> list[int]:
    """TTLs that answered some probes and not others, while a hop beyond them answered all.

    What is lost on the way is lost to every hop beyond, too: so these limit what they send.
    """
    whole = [ttl for ttl in trace.hops() if 0 < trace.sent[ttl - 1] == trace.answers(ttl)]
    partly = [ttl for ttl in trace.hops() if 0 < trace.answers(ttl) < trace.sent[ttl - 1]]
    return [ttl for ttl in partly if ttl < max(whole, default=0)]


def _limiters(ttls: Collection[int]) -> str:
    if not ttls:
        return ""
    hops = ", ".join(map(str, sorted(ttls)))
    return f"hop {hops}: probably limits the rate of its answers, since hops beyond it lost nothing"


def _datagrams(trace: Counted) -> str:
    if not trace.datagrams or trace.reached:
        return ""
    return (
        f"the target sent {trace.datagrams} datagrams that name no probe: it is reached, at a TTL "
        "that they do not tell"
    )


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
    )
