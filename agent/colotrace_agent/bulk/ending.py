"""When traces of a table end: the rules of `engine.trace`, worked out for many lines at once."""

import numpy as np
from colotrace_proto.messages import Family, NodeKind

from colotrace_agent.engine.trace import HERE, NEAR, floor_of
from colotrace_agent.model import TraceSpec

from .state import Flags, Lines, Numbers, State

_NEVER = np.iinfo(np.int64).max


class Ending(State):
    """Lines that are looked at when something has changed, or their patience may be over."""

    def __init__(self, spec: TraceSpec, family: Family, *, lines: int) -> None:
        super().__init__(spec, family, lines=lines)
        self._look_at = np.full(lines, _NEVER, np.int64)
        self._first_look_at = _NEVER
        self._unsettled = np.zeros(lines, np.bool_)
        self._floor_ns = floor_of(spec)

    def expire(self, now: int) -> Lines:
        """Ends the traces to which nothing more can come; their lines."""
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
        """Ends all traces with what there is; their lines."""
        lines = self.found.live
        self._end(lines, now)
        return lines

    def next_look(self) -> int | None:
        """When `expire` has something to do; None where only an answer can change that."""
        self._settle_all()
        return None if self._first_look_at == _NEVER else self._first_look_at

    def _end(self, lines: Lines, now: int) -> None:
        self.ended[lines] = now
        self._look_at[lines] = _NEVER
        self._unsettled[lines] = False
        self.under_way -= len(lines)
        self.found.remove(lines)

    def settle(self, line: int) -> None:
        """Has the line looked at again."""
        self._unsettled[line] = True

    def _settle_all(self) -> None:
        """Has what has changed looked at again: at once where nothing is missing any more, else
        when the shortest patience can be over."""
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
        """Whether probes are still to be sent: not beyond the target, and only the first of each
        TTL beyond where the target is expected or a refusal came."""
        next_place, packets = self._next[lines], self.spec.packets_per_ttl
        last = np.minimum(self.target_ttl[lines], self.spec.max_ttl)
        within, earlier = next_place // packets + 1, next_place % packets
        spared = within > np.minimum(self._expected_ttl[lines], self._refusal_ttl[lines])
        first_whole = within + (earlier > 0)
        return (first_whole <= last) | ((earlier > 0) & (within <= last) & ~spared)

    def _missing(self, lines: Lines) -> Flags:
        short = self.sent[lines] > self.answers[lines]
        return short & (self._columns <= self.target_ttl[lines][:, None])

    def _closes_at(self, lines: Lines) -> Numbers:
        """As `Trace.closes_at`; never, where probes are still to be sent."""
        closes_at = self.started[lines]
        missing = self._missing(lines)
        waiting = missing.any(axis=1)
        if waiting.any():
            closes_at[waiting] = self._waits_until(lines[waiting], missing[waiting])
        return np.where(self._is_unsent(lines) | (self.put_off[lines] > 0), _NEVER, closes_at)

    def _refused(self, lines: Lines) -> Flags:
        """Whether a router's refusal seems to end the path: no router beyond it answered."""
        refused = self._barrier_ttl[lines] <= self.spec.max_ttl
        for row in np.nonzero(refused)[0].tolist():
            line = int(lines[row])
            passed = self.answered[line] & (self.kind[line] == NodeKind.TRANSIT)
            refused[row] = not (passed & (self.ttl_of[line] > self._barrier_ttl[line])).any()
        return refused

    def _waits_until(self, lines: Lines, missing: Flags) -> Numbers:
        longest, last_sent_at = self._longest_rtt[lines], self._last_sent_at[lines]
        wait_ns = self.spec.wait_ns
        barrier, refused = self._barrier_ttl[lines], self._refused(lines)
        at_barrier = np.minimum(barrier, self.spec.max_ttl) - 1
        barrier_rtt = longest[np.arange(len(lines)), at_barrier]
        until = self.started[lines]
        nearest = np.zeros(len(lines), np.int64)
        for column in range(self.spec.max_ttl - 1, -1, -1):
            own = longest[:, column]
            patience = np.where(own > 0, HERE * own, np.where(nearest > 0, NEAR * nearest, wait_ns))
            beyond = (own == 0) & (nearest == 0) & (column >= barrier) & refused
            patience = np.where(beyond, HERE * barrier_rtt, patience)
            patience = np.clip(patience, self._floor_ns, wait_ns)
            silent = missing[:, column]
            until = np.maximum(until, np.where(silent, last_sent_at[:, column] + patience, 0))
            nearest = np.where(own > 0, own, nearest)
        return until
