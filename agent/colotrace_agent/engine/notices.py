"""The notices beside a trace's row: why something in the row may be missing or inexact."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from colotrace_proto.notices import Notice, NoticeCode

from colotrace_agent.model import MissingNeighbour

from .identity import NoFlowLeftError
from .refusals import Refuser

_MAX_NODES = 4
"""Nodes that a notice names; of the others it gives the number."""


@dataclass(slots=True)
class Caveats:
    """What happened to a trace, or several as one, beside its answers."""

    send_errors: Counter[int] = field(default_factory=Counter)
    """Probes that the host did not send, by errno."""
    obstacle: MissingNeighbour | None = None
    """The next hop that did not answer, if that kept probes from leaving."""
    limiting: Collection[int] = ()
    """TTLs of routers that probably withheld answers because of a rate limit."""
    spared: set[int] = field(default_factory=set)
    """TTLs that got fewer probes, because their routers limit their answers."""
    unplaced: int = 0
    """Answers of the target that match no probe, at most as many as probes that were sent. They
    show that the target was reached, but not at which TTL."""
    uncertain: frozenset[Refuser] = frozenset()
    """Refusers that may be the target or a firewall; known at the end."""
    overflows: int = 0
    """Packets that the host's receive queue had no room for; some may have been answers."""
    unstamped: int = 0
    """Answered probes without a kernel time stamp of their departure: their RTT is less exact."""
    clock_stepped: bool = False
    """Whether the wall clock was set during the trace. Some times are then the agent's own, not the
    kernel's."""
    detour: bool = False
    """Whether probes may have left by another next hop than the host's other such traffic."""

    def add(self, other: "Caveats") -> None:
        """Add those of another trace, except `limiting` and `overflows`."""
        self.send_errors.update(other.send_errors)
        self.obstacle = self.obstacle or other.obstacle
        self.spared |= other.spared
        self.unplaced += other.unplaced
        self.uncertain |= other.uncertain
        self.unstamped += other.unstamped
        self.clock_stepped |= other.clock_stepped
        self.detour |= other.detour

    def notices(self, *, reached: bool) -> Iterator[Notice]:
        """The notices that follow; `reached` says whether the target answered."""
        if self.limiting:
            yield Notice(NoticeCode.HOPS_LIMIT, ttls=tuple(sorted(self.limiting)))
        if self.spared:
            yield Notice(NoticeCode.HOPS_SPARED, ttls=tuple(sorted(self.spared)))
        if self.unplaced and not reached:
            yield Notice(NoticeCode.UNPLACED_ANSWERS, count=self.unplaced)
        yield from _refusers(self.uncertain)
        if self.overflows:
            yield Notice(NoticeCode.QUEUE_OVERFLOW, count=self.overflows)
        if self.unstamped:
            yield Notice(NoticeCode.UNSTAMPED_PROBES, count=self.unstamped)
        if self.clock_stepped:
            yield Notice(NoticeCode.CLOCK_STEPPED)
        if self.detour:
            yield Notice(NoticeCode.DETOUR)


def cannot_start(target: str, error: OSError | NoFlowLeftError) -> Notice:
    """Why a trace to the target could not start."""
    if isinstance(error, NoFlowLeftError):
        return Notice(NoticeCode.NO_FLOW_LEFT)
    return Notice(NoticeCode.CANNOT_SEND, name=target, reason=error.strerror or str(error))


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
