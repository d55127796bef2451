"""When traces end: `engine.rules` applied to many lines at once."""

import numpy as np
from colotrace_proto.messages import NodeKind

from colotrace_agent.engine import rules

from .arrays import Flags, Lines, Numbers
from .columns import Columns

_NEVER = np.iinfo(np.int64).max


class Ending:
    """Lines that are checked for their end after a change, and when a patience may be over."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._look_at = np.full(columns.lines, _NEVER, np.int64)
        self._first_look_at = _NEVER
        self._floor_ns = rules.floor_ns(columns.spec.wait_ns)

    def expire(self, now: int) -> Lines:
        """End the traces that wait for nothing more. Returns their lines."""
        self._settle_all()
        if now < self._first_look_at:
            return np.zeros(0, np.intp)
        lines = np.nonzero(self._look_at <= now)[0]
        closes_at = self._closes_at(lines)
        self._look_at[lines] = closes_at
        ended = lines[closes_at <= now]
        self.end(ended, now)
        self._first_look_at = int(self._look_at.min())
        return ended

    def stop(self, now: int) -> Lines:
        """End all traces with the answers so far. Returns their lines."""
        lines = self._columns.found.live
        self.end(lines, now)
        return lines

    def next_look(self) -> int | None:
        """When `expire` has something to do; None if nothing will end without an answer."""
        self._settle_all()
        return None if self._first_look_at == _NEVER else self._first_look_at

    def end(self, lines: Lines, now: int) -> None:
        """End these traces with the answers so far."""
        self._columns.ended[lines] = now
        self._look_at[lines] = _NEVER
        self._columns.unsettled[lines] = False
        self._columns.found.remove(lines)

    def _settle_all(self) -> None:
        """Schedule the check of each changed line: at once if no answer is missing, else when the
        shortest patience can be over (as `Trace.look_at`)."""
        lines = np.nonzero(self._columns.unsettled)[0]
        if not len(lines):
            return
        self._columns.unsettled[lines] = False
        lines = lines[self._columns.ended[lines] == 0]
        lines = lines[~self._is_unsent(lines)]
        if not len(lines):
            return
        last = np.where(self._missing(lines), self._columns.last_sent_at[lines], 0).max(axis=1)
        look_at = np.where(last > 0, last + self._floor_ns, 0)
        self._look_at[lines] = np.minimum(self._look_at[lines], look_at)
        self._first_look_at = min(self._first_look_at, int(look_at.min()))

    def _is_unsent(self, lines: Lines) -> Flags:
        """Whether probes are still to be sent: the next in order, or the first of the TTL after."""
        spec, bounds = self._columns.spec, self._columns.bounds_of(lines)
        packets, most = spec.packets_per_ttl, spec.max_ttl
        ttl, earlier = rules.probe_at(self._columns.next_place[lines], packets)
        here = (ttl <= most) & (earlier < rules.probes_at(ttl, packets, bounds))
        unsent: Flags = here | (ttl < most) & (rules.probes_at(ttl + 1, packets, bounds) > 0)
        return unsent

    def _missing(self, lines: Lines) -> Flags:
        columns = self._columns
        ends = columns.target_ttl[lines][:, None]
        missing: Flags = rules.is_missing(
            columns.sent[lines], columns.answers[lines], columns.ttls, ends
        )
        return missing

    def _closes_at(self, lines: Lines) -> Numbers:
        """As `Trace.closes_at`; never, where probes are still to be sent."""
        closes_at = self._columns.started[lines]
        missing = self._missing(lines)
        waiting = missing.any(axis=1)
        if waiting.any():
            those = lines[waiting]
            closes_at[waiting] = rules.waited_until(
                list(missing[waiting].T), list(self._columns.last_sent_at[those].T),
                list(self._columns.longest_rtt[those].T), since=closes_at[waiting],
                barrier_ttl=self._columns.bounds.barrier_ttl[those],
                barrier_rtt=self._barrier_rtt(those), wait_ns=self._columns.spec.wait_ns,
            )  # fmt: skip
        unsent = self._is_unsent(lines) | (self._columns.put_off[lines] > 0)
        return np.where(unsent, _NEVER, closes_at)

    def _barrier_rtt(self, lines: Lines) -> Numbers:
        """The longest RTT of a refusal that ends the path; 0 where none does."""
        barrier_ttl = self._columns.bounds.barrier_ttl[lines]
        found = np.zeros(len(lines), np.int64)
        for row in np.nonzero(barrier_ttl <= self._columns.spec.max_ttl)[0].tolist():
            line, ttl = int(lines[row]), int(barrier_ttl[row])
            transit = self._columns.answered[line] & (self._columns.kind[line] == NodeKind.TRANSIT)
            furthest = int(self._columns.ttl_of[line][transit].max(initial=0))
            found[row] = self._columns.longest_rtt[line, ttl - 1] * rules.ends_path(ttl, furthest)
        return found
