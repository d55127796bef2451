"""Finds the probe that an answer counts for, for a trace of either engine."""

from collections.abc import Sequence
from typing import Protocol

from colotrace_proto.messages import NodeKind

from colotrace_agent.model import AnswerKind, Counters, Flow, Heard, Ordinal, Ttl
from colotrace_agent.packets.formats import FORMATS

from .matching import Miss, match
from .notices import Caveats
from .rules import is_duplicate, is_first
from .verdict import judge


class Probes(Protocol):
    """The probes of one trace: of a `Trace`, or of a line of `bulk`."""

    @property
    def flow(self) -> Flow:
        """The fields that the probes share, and their keyed fields."""

    @property
    def counters(self) -> Counters:
        """Counts of packets that do not count as answers."""

    @property
    def taken(self) -> int:
        """The number of probes taken to be sent."""

    @property
    def sent(self) -> Sequence[int]:
        """Sent probes, at TTL 1, 2, 3 …"""

    @property
    def target_ttl(self) -> int:
        """The lowest TTL at which the target answered; beyond all TTLs if it did not."""

    @property
    def furthest(self) -> int:
        """The highest TTL at which a probe was answered; 0 if none was."""

    @property
    def ended(self) -> int | None:
        """When the trace ended; None while it runs."""

    @property
    def caveats(self) -> Caveats:
        """What happened beside the answers."""

    def ttl_of(self, ordinal: Ordinal) -> Ttl:
        """The probe's TTL."""

    def has_left(self, ordinal: Ordinal) -> bool:
        """Whether the probe was sent and did not fail on the host."""

    def is_answered(self, ordinal: Ordinal) -> bool:
        """Whether the probe has been answered."""

    def waiting(self, at: int) -> list[Ordinal]:
        """Unanswered probes whose wait had not expired at this time."""


def place(probes: Probes, heard: Heard, *, at: int) -> Ordinal | None:
    """The probe that the answer counts for, as its first; None if it counts for none.

    An answer that counts for none is counted by its reason. `at` is when it arrived, in monotonic
    nanoseconds.
    """
    counters = probes.counters
    ordinal = match(probes.flow, heard, sent=probes.taken)
    if ordinal is Miss.AMBIGUOUS and _names_no_probe(heard, probes.flow):
        ordinal = _by_elimination(probes, heard, at)
    if isinstance(ordinal, Miss):
        if ordinal is Miss.AMBIGUOUS:
            counters.ambiguous += 1
        else:
            counters.foreign += 1
        if _shows_reached(heard, probes.flow, ordinal):
            caveats = probes.caveats
            caveats.unplaced = min(caveats.unplaced + 1, sum(probes.sent))
        return None
    has_left, is_answered = probes.has_left(ordinal), probes.is_answered(ordinal)
    if is_first(has_left=has_left, is_answered=is_answered, is_over=probes.ended is not None):
        return ordinal
    if is_duplicate(has_left=has_left, is_answered=is_answered):
        counters.duplicates += 1
    elif has_left:
        counters.late += 1
    else:
        counters.foreign += 1
    return None


def _names_no_probe(heard: Heard, flow: Flow) -> bool:
    """Whether such an answer never identifies its probe: a service's datagram, or a quote of GRE
    that ends with the key, from a router that clears the identification."""
    if heard.kind is AnswerKind.DATAGRAM:
        return heard.responder == flow.target
    return not FORMATS[heard.key.packet_type].number_quoted


def _shows_reached(heard: Heard, flow: Flow, miss: Miss) -> bool:
    """Whether an answer that identifies the flow, but no probe, shows that the target was reached:
    a direct answer, or the target's error with a quote that is too short."""
    if heard.source is None:
        return True
    quotes_too_little = miss is Miss.AMBIGUOUS and heard.responder == flow.target
    return quotes_too_little and judge(heard, flow).kind is NodeKind.TARGET


def _by_elimination(probes: Probes, heard: Heard, at: int) -> Ordinal | Miss:
    """The probe of an answer that identifies none: the only one that is waited for, unless other
    answers exclude its TTL."""
    waiting = probes.waiting(at)
    if len(waiting) != 1:
        return Miss.AMBIGUOUS
    ttl = probes.ttl_of(waiting[0])
    is_end = judge(heard, probes.flow).kind is not NodeKind.TRANSIT
    denied = ttl <= probes.furthest if is_end else ttl >= probes.target_ttl
    return Miss.AMBIGUOUS if denied else waiting[0]
