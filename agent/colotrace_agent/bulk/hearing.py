"""What is heard of the probes of a table: when they left, and what answered them."""

import numpy as np
from colotrace_proto.messages import NodeKind

from colotrace_agent.engine.matching import Miss

from .ending import Ending
from .state import Bytes, Flags, Lines, Numbers


class Hearing(Ending):
    """Lines whose probes are stamped and answered."""

    def stamps(self, tickets: Numbers, at: Numbers, right: Flags) -> None:
        """The kernel's own word on when these probes left; not `right` where it cannot be."""
        places, ours = self._places_of(tickets)
        if not right.all():
            wrong = places[ours & ~right] // self.probes
            self._clock_stepped(wrong)
            ours = ours & right
        ours &= self._flat_sent_at[places] > 0
        if not ours.all():
            places, at = places[ours], at[ours]
        self._flat_sent_at[places] = at
        self._flat_stamped[places] = True

    def count(
        self, lines: Lines, ordinals: Lines, *, kind: Bytes, who: Bytes, at: Numbers,
        read_at: int, reduced_by: Numbers,
    ) -> Flags:  # fmt: skip
        """Counts answers to these probes; which of them count.

        `reduced_by` is how much of its TTL each probe had left beyond what it needed.
        """
        places = self.places(lines, ordinals)
        sent_at = self._flat_sent_at[places]
        rtt = at - sent_at
        good = (sent_at > 0) & ~self._flat_answered[places] & _first_of_each(places)
        stepped = (rtt < 0) & good
        if stepped.any():  # the wall clock was set between the two
            rtt = np.where(stepped, read_at - sent_at, rtt)
            self._clock_stepped(lines[stepped])
        if good.all():
            self._put(lines, places, kind, who, rtt, reduced_by)
        else:
            self._put(lines[good], places[good], kind[good], who[good], rtt[good], reduced_by[good])
        return good

    def _put(
        self, lines: Lines, places: Lines, kind: Bytes, who: Bytes, rtt: Numbers,
        reduced_by: Numbers,
    ) -> None:  # fmt: skip
        ttl = self.flat_ttl_of[places].astype(np.int16)
        self._flat_answered[places] = True
        self._flat_rtt[places] = rtt
        self._flat_kind[places] = kind
        self._flat_who[places] = who
        column = ttl - 1
        if self.spec.packets_per_ttl == 1:  # then no hop is there twice
            self.answers[lines, column] += 1
            self._longest_rtt[lines, column] = rtt
        else:
            np.add.at(self.answers, (lines, column), 1)
            np.maximum.at(self._longest_rtt, (lines, column), rtt)
        those = np.nonzero(kind == NodeKind.TARGET)[0]
        if len(those):
            targets, its_ttl = lines[those], ttl[those]
            np.minimum.at(self.target_ttl, targets, its_ttl)
            nearer = its_ttl - reduced_by[those]
            nearer = np.where(nearer > 0, nearer, its_ttl).astype(np.int16)
            np.minimum.at(self._expected_ttl, targets, nearer)
        those = np.nonzero(kind == NodeKind.BARRIER)[0]
        if len(those):
            np.minimum.at(self._barrier_ttl, lines[those], ttl[those])
        self._unsettled[lines] = True

    def _clock_stepped(self, lines: Lines) -> None:
        for line in set(lines.tolist()):
            self.aside(line).clock_stepped = True

    def with_tag(self, tag: bytes) -> int | None:
        """The line of a trace that has not ended, one of whose probes has that tag."""
        lines = self.found.live
        found = np.nonzero((self.tags[lines] == np.frombuffer(tag, np.uint64)).any(axis=1))[0]
        return int(lines[found[0]]) if len(found) else None

    def by_elimination(self, line: int, at: int, *, is_end: bool) -> int | Miss:
        """As `Trace` does it: the one probe that an answer which names none can be for."""
        sent_at = self.sent_at[line]
        waiting = (sent_at > 0) & ~self.answered[line] & (at - sent_at <= self.spec.wait_ns)
        ordinals: list[int] = np.nonzero(waiting)[0].tolist()
        if len(ordinals) != 1:
            return Miss.AMBIGUOUS
        ttl = int(self.ttl_of[line, ordinals[0]])
        furthest = int(np.where(self.answers[line] > 0, self._columns, 0).max())
        denied = ttl <= furthest if is_end else ttl >= self.target_ttl[line]
        return Miss.AMBIGUOUS if denied else ordinals[0]


def _first_of_each(places: Lines) -> Flags:
    """Which are the first with their number."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    again = ordered[1:] == ordered[:-1]
    first = np.ones(len(places), np.bool_)
    if again.any():
        first[order[1:][again]] = False
    return first
