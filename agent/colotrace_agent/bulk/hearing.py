"""Kernel time stamps of probes, and the answers to them, stored for many lines at once."""

import numpy as np
from colotrace_proto.messages import NodeKind

from colotrace_agent.engine import rules

from .arrays import Bytes, Flags, Lines, Numbers
from .columns import Columns

_RUNNING = np.zeros(1, np.bool_)
"""`is_over` of every line: False, because `Finder` finds only lines whose trace runs."""


class Hearing:
    """Stores time stamps and answers in columns."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def stamps(self, tickets: Numbers, at: Numbers, right: Flags) -> None:
        """Store the kernel's departure times. `right` is False where the time stamp is unusable
        because the clock was set."""
        places, ours = self._columns.places_of(tickets)
        if not right.all():
            wrong = places[ours & ~right] // self._columns.probes
            self._clock_stepped(wrong)
            ours = ours & right
        answered = self._columns.flat_answered[places]
        ours &= rules.takes_stamp(self._columns.flat_sent_at[places], answered)
        if not ours.all():
            places, at = places[ours], at[ours]
        self._columns.flat_sent_at[places] = at
        self._columns.flat_stamped[places] = True

    def count(
        self, lines: Lines, ordinals: Lines, *, kind: Bytes, who: Bytes, at: Numbers,
        read_at: int, ttl_left: Numbers,
    ) -> Flags:  # fmt: skip
        """Count answers to these probes. Returns for each whether it counts, as `engine.placing`.

        `ttl_left` is how much of its TTL each probe had left beyond what it needed.
        """
        places = self._columns.places(lines, ordinals)
        sent_at = self._columns.flat_sent_at[places]
        has_left = sent_at > 0
        is_answered = self._columns.flat_answered[places] | ~_first_of_each(places)
        good: Flags = rules.is_first(has_left=has_left, is_answered=is_answered, is_over=_RUNNING)
        rtt, stepped = rules.rtt_ns(sent_at, at=at, read_at=read_at)
        if stepped.any():
            self._clock_stepped(lines[stepped & good])
        if good.all():
            self._put(lines, places, kind, who, rtt, ttl_left)
        else:
            duplicate = rules.is_duplicate(has_left=has_left, is_answered=is_answered)
            for line, again in zip(lines[~good].tolist(), duplicate[~good].tolist(), strict=True):
                counters = self._columns.counters(line)
                counters.duplicates += again
                counters.foreign += not again
            self._put(lines[good], places[good], kind[good], who[good], rtt[good], ttl_left[good])
        return good

    def _put(
        self, lines: Lines, places: Lines, kind: Bytes, who: Bytes, rtt: Numbers,
        ttl_left: Numbers,
    ) -> None:  # fmt: skip
        ttl = self._columns.flat_ttl_of[places].astype(np.int16)
        self._columns.flat_answered[places] = True
        self._columns.flat_rtt[places] = rtt
        self._columns.flat_kind[places] = kind
        self._columns.flat_who[places] = who
        column = ttl - 1
        if self._columns.spec.packets_per_ttl == 1:  # no line and TTL twice: plain indexing
            self._columns.answers[lines, column] += 1
            self._columns.longest_rtt[lines, column] = rtt
        else:
            np.add.at(self._columns.answers, (lines, column), 1)
            np.maximum.at(self._columns.longest_rtt, (lines, column), rtt)
        those = np.nonzero(kind != NodeKind.TRANSIT)[0]
        if len(those):
            kinds, ttls, left = (each[those] for each in (kind, ttl, ttl_left))
            shown = rules.answer_bounds(kinds, ttls, left, self._columns.spec.max_ttl + 1)
            for bound, values in zip(self._columns.bounds, shown, strict=True):
                np.minimum.at(bound, lines[those], values.astype(np.int16))
        self._columns.unsettled[lines] = True

    def _clock_stepped(self, lines: Lines) -> None:
        for line in set(lines.tolist()):
            self._columns.aside(line).caveats.clock_stepped = True


def _first_of_each(places: Lines) -> Flags:
    """For each element, whether no earlier one has the same value."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    again = ordered[1:] == ordered[:-1]
    first = np.ones(len(places), np.bool_)
    if again.any():
        first[order[1:][again]] = False
    return first
