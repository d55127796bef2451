"""When traces of a table end: `engine.rules` applied to many lines at once."""

import numpy as np
from colotrace_proto.messages import Family, NodeKind

from colotrace_agent.engine import rules
from colotrace_agent.model import TraceSpec

from .state import Flags, Lines, Numbers, State

_NEVER = np.iinfo(np.int64).max


class Ending(State):
    """Lines that are checked for their end after a change, and when a patience may be over."""

    def __init__(self, spec: TraceSpec, family: Family, *, lines: int) -> None:
        super().__init__(spec, family, lines=lines)
        self._look_at = np.full(lines, _NEVER, np.int64)
        self._first_look_at = _NEVER
        self._unsettled = np.zeros(lines, np.bool_)
        self._floor_ns = rules.floor_ns(spec.wait_ns)

    def expire(self, now: int) -> Lines:
        """End the traces that wait for nothing more. Returns their lines."""
        self._settle_all()
        if now < self._first_look_at:
            return np.zeros(0, np.intp)
        lines = np.nonzero(self._look_at <= now)[0]
        closes_at = self._closes_at(lines)
        self._look_at[lines] = closes_at
        ended = lines[closes_at <= now]
        self._end(ended, now)
        self._first_look_at = int(self._look_at.min())
        return ended

    def stop(self, now: int) -> Lines:
        """End all traces with the answers so far. Returns their lines."""
        lines = self.found.live
        self._end(lines, now)
        return lines

    def next_look(self) -> int | None:
        """When `expire` has something to do; None if nothing will end without an answer."""
        self._settle_all()
        return None if self._first_look_at == _NEVER else self._first_look_at

    def _end(self, lines: Lines, now: int) -> None:
        self.ended[lines] = now
        self._look_at[lines] = _NEVER
        self._unsettled[lines] = False
        self.under_way -= len(lines)
        self.found.remove(lines)

    def settle(self, line: int) -> None:
        """Schedule a check of the line."""
        self._unsettled[line] = True

    def _settle_all(self) -> None:
        """Schedule the check of each changed line: at once if no answer is missing, else when the
        shortest patience can be over (as `Trace.look_at`)."""
        lines = np.nonzero(self._unsettled)[0]
        if not len(lines):
            return
        self._unsettled[lines] = False
        lines = lines[self.in_use[lines] & (self.ended[lines] == 0)]
        lines = lines[~self._is_unsent(lines)]
        if not len(lines):
            return
        last = np.where(self._missing(lines), self._last_sent_at[lines], 0).max(axis=1)
        look_at = np.where(last > 0, last + self._floor_ns, 0)
        self._look_at[lines] = np.minimum(self._look_at[lines], look_at)
        self._first_look_at = min(self._first_look_at, int(look_at.min()))

    def _is_unsent(self, lines: Lines) -> Flags:
        """Whether probes are still to be sent: the next in order, or the first of the TTL after."""
        packets, bounds = self.spec.packets_per_ttl, self.bounds_of(lines)
        ttl, earlier = rules.probe_at(self._next[lines], packets)
        here = (ttl <= self.spec.max_ttl) & (earlier < rules.probes_at(ttl, packets, bounds))
        further = (ttl < self.spec.max_ttl) & (rules.probes_at(ttl + 1, packets, bounds) > 0)
        unsent: Flags = here | further
        return unsent

    def _missing(self, lines: Lines) -> Flags:
        missing: Flags = rules.is_missing(
            self.sent[lines], self.answers[lines], self._columns, self.target_ttl[lines][:, None]
        )
        return missing

    def _closes_at(self, lines: Lines) -> Numbers:
        """As `Trace.closes_at`; never, where probes are still to be sent."""
        closes_at = self.started[lines]
        missing = self._missing(lines)
        waiting = missing.any(axis=1)
        if waiting.any():
            those = lines[waiting]
            closes_at[waiting] = rules.waited_until(
                list(missing[waiting].T), list(self._last_sent_at[those].T),
                list(self._longest_rtt[those].T), since=closes_at[waiting],
                barrier_ttl=self.bounds.barrier_ttl[those], barrier_rtt=self._barrier_rtt(those),
                wait_ns=self.spec.wait_ns,
            )  # fmt: skip
        return np.where(self._is_unsent(lines) | (self.put_off[lines] > 0), _NEVER, closes_at)

    def _barrier_rtt(self, lines: Lines) -> Numbers:
        """The longest RTT of a refusal that ends the path; 0 where none does."""
        barrier_ttl = self.bounds.barrier_ttl[lines]
        found = np.zeros(len(lines), np.int64)
        for row in np.nonzero(barrier_ttl <= self.spec.max_ttl)[0].tolist():
            line, ttl = int(lines[row]), int(barrier_ttl[row])
            transit = self.answered[line] & (self.kind[line] == NodeKind.TRANSIT)
            furthest = int(self.ttl_of[line][transit].max(initial=0))
            found[row] = self._longest_rtt[line, ttl - 1] * rules.ends_path(ttl, furthest)
        return found
