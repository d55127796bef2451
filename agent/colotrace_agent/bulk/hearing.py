"""What is heard of the probes of a table: when they left, and what answered them."""

import numpy as np
from colotrace_proto.messages import NodeKind

from .ending import Ending
from .state import DOUBTFUL, Bytes, Flags, Lines, Numbers


class Hearing(Ending):
    """Lines whose probes are stamped and answered."""

    def stamps(self, tickets: Numbers, at: Numbers, right: Flags) -> None:
        """The kernel's own word on when these probes left; not `right` where it cannot be."""
        places, ours = self._places_of(tickets)
        if not right.all():
            wrong = places[ours & ~right] // self.probes
            self._clock_stepped(wrong)
            ours = ours & right
        # An answer's time is counted from what its probe's departure was known as by then.
        ours &= (self._flat_sent_at[places] > 0) & ~self._flat_answered[places]
        if not ours.all():
            places, at = places[ours], at[ours]
        self._flat_sent_at[places] = at
        self._flat_stamped[places] = True

    def count(
        self, lines: Lines, ordinals: Lines, *, kind: Bytes, who: Bytes, at: Numbers,
        read_at: int, reduced_by: Numbers,
    ) -> Flags:  # fmt: skip
        """Counts answers to these probes, as `engine.placing.place` does; which of them count.

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
            for line, left in zip(
                lines[~good].tolist(), (sent_at[~good] > 0).tolist(), strict=True
            ):
                counters = self.counters(line)
                counters.duplicates += left
                counters.foreign += not left
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
        those = np.nonzero(kind >= NodeKind.BARRIER)[0]
        if len(those):
            np.minimum.at(self._refusal_ttl, lines[those], ttl[those])
            self.doubtful[lines[kind == DOUBTFUL]] = True
            those = those[kind[those] == NodeKind.BARRIER]
            np.minimum.at(self._barrier_ttl, lines[those], ttl[those])
        self._unsettled[lines] = True

    def _clock_stepped(self, lines: Lines) -> None:
        for line in set(lines.tolist()):
            self.aside(line).clock_stepped = True

    def with_tag(self, tag: bytes) -> int | None:
        """The line of a trace that has not ended, one of whose probes has that tag."""
        (wanted,) = np.frombuffer(tag, np.uint64).tolist()
        lines = self.found.live
        found = np.nonzero((self.tags == wanted).any(axis=1))[0]
        found = found[np.isin(found, lines)]
        return int(found[0]) if len(found) else None


def _first_of_each(places: Lines) -> Flags:
    """Which are the first with their number."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    again = ordered[1:] == ordered[:-1]
    first = np.ones(len(places), np.bool_)
    if again.any():
        first[order[1:][again]] = False
    return first
