"""What to tell of a trace beside its row: why something in the row may be missing."""

from collections.abc import Collection, Iterator
from typing import Protocol

from colotrace_proto.notices import Notice, NoticeCode

from .identity import NoFlowLeftError
from .refusals import Refuser

_MAX_NODES = 4
"""Nodes that a notice names; of the others it gives the number."""


class Counted(Protocol):
    """One trace, or several as one: what it counted beside answers (see `Trace`)."""

    @property
    def reached(self) -> bool:
        """Whether the target answered."""

    @property
    def spared(self) -> Collection[int]:
        """TTLs that got fewer probes, because their routers limit their answers."""

    @property
    def unplaced(self) -> int:
        """Answers of the target that name no probe."""

    @property
    def uncertain(self) -> Collection[Refuser]:
        """Refusers that may be the target or a firewall."""

    @property
    def overflows(self) -> int:
        """Packets that the host's receive queue had no room for."""

    @property
    def unstamped(self) -> int:
        """Answered probes without a kernel time stamp of their departure."""

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock was set during the trace."""

    @property
    def detour(self) -> bool:
        """Whether probes may have left by another next hop than the host's other such traffic."""


class Judged(Counted, Protocol):
    """One trace that has ended."""

    @property
    def limiting(self) -> Collection[int]:
        """TTLs of routers that probably limit their answers."""


def notices(trace: Judged) -> tuple[Notice, ...]:
    """The notices of one trace; none if nothing is out of the ordinary."""
    return notices_of(trace, limiting=trace.limiting)


def notices_of(counted: Counted, *, limiting: Collection[int]) -> tuple[Notice, ...]:
    """The same of one trace or several, with the TTLs of the routers that limit their answers."""
    return tuple(_notices(counted, limiting))


def cannot_start(target: str, error: OSError | NoFlowLeftError) -> Notice:
    """Why a trace to the target could not start."""
    if isinstance(error, NoFlowLeftError):
        return Notice(NoticeCode.NO_FLOW_LEFT)
    return Notice(NoticeCode.CANNOT_SEND, name=target, reason=error.strerror or str(error))


def _notices(counted: Counted, limiting: Collection[int]) -> Iterator[Notice]:
    if limiting:
        yield Notice(NoticeCode.HOPS_LIMIT, ttls=tuple(sorted(limiting)))
    if counted.spared:
        yield Notice(NoticeCode.HOPS_SPARED, ttls=tuple(sorted(counted.spared)))
    if counted.unplaced and not counted.reached:
        yield Notice(NoticeCode.UNPLACED_ANSWERS, count=counted.unplaced)
    yield from _refusers(counted.uncertain)
    if counted.overflows:
        yield Notice(NoticeCode.QUEUE_OVERFLOW, count=counted.overflows)
    if counted.unstamped:
        yield Notice(NoticeCode.UNSTAMPED_PROBES, count=counted.unstamped)
    if counted.clock_stepped:
        yield Notice(NoticeCode.CLOCK_STEPPED)
    if counted.detour:
        yield Notice(NoticeCode.DETOUR)


def _refusers(uncertain: Collection[Refuser]) -> Iterator[Notice]:
    for is_target, code in (
        (True, NoticeCode.TAKEN_FOR_TARGET),
        (False, NoticeCode.TAKEN_FOR_FIREWALL),
    ):
        found = sorted(each for each in uncertain if each.is_target == is_target)
        if found:
            named = found[:_MAX_NODES]
            yield Notice(
                code,
                ttls=tuple(each.ttl for each in named),
                addresses=tuple(each.address for each in named),
                count=len(found) - len(named),
            )
