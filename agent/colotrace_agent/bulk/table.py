"""The state of many traces of one family and one set of options, in arrays: a line for each.

The rules are those of `engine.trace`, line by line; here they are worked out for many lines at
once. All times are monotonic nanoseconds, all TTLs count from 1, all ordinals from 0.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from colotrace_proto.messages import Family, NodeKind

from colotrace_agent.engine.engine import NEAR_HOPS, STEP
from colotrace_agent.engine.matching import Miss
from colotrace_agent.engine.trace import HERE, NEAR, floor_of
from colotrace_agent.model import Flow, FlowKey, TraceSpec

Lines = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Shorts = npt.NDArray[np.int16]
Bytes = npt.NDArray[np.uint8]

_NEVER = np.iinfo(np.int64).max


class Due(NamedTuple):
    """Probes to send, in this order: the line, the ordinal and the TTL of each."""

    lines: Lines
    ordinals: Lines
    ttls: Lines


@dataclass(slots=True)
class Aside:
    """What few traces have, kept beside the arrays."""

    labels: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Labels of the answers to these ordinals."""
    send_errors: dict[int, int] = field(default_factory=dict)
    """How many probes each errno kept from leaving."""
    obstacle: str = ""
    spared: set[int] = field(default_factory=set)
    """TTLs of probes that were not sent, for a router's limit."""
    unplaced: int = 0
    clock_stepped: bool = False


class Table:
    """A fixed number of lines, each of them free, or one trace's until `free`.

    `spec` holds what all of them share; its target is nobody's.
    """

    def __init__(self, spec: TraceSpec, family: Family, *, lines: int) -> None:
        self.spec = spec
        self.family = family
        ttls, probes = spec.max_ttl, spec.max_ttl * spec.packets_per_ttl
        self.probes = probes
        self.width = 4 if family is Family.IPV4 else 16
        self.port = 0
        """UDP and TCP: the destination port of all flows."""
        self.flows: list[Flow | None] = [None] * lines
        self.asides: dict[int, Aside] = {}
        self.line_of: dict[bytes, int] = {}
        """By the flow's place (see `place_of`)."""
        self.generation = np.zeros(lines, np.int64)
        self.under_way = 0
        """Traces that have not ended."""
        # By line. Columns of few matrices: a line begins by few writes.
        self._numbers = np.zeros((lines, 7 + 2 * ttls + probes), np.int64)
        columns = iter(np.split(self._numbers, [1, 2, 3, 4, 5, 6, 7, 7 + ttls, 7 + 2 * ttls], 1))
        singles: list[Numbers] = [next(columns)[:, 0] for _ in range(7)]
        self.started, self.first_number, self.ended, self.taken = singles[:4]
        # `put_off`: probes that wait for a router that limits its answers.
        self.overflows, self._next, self.put_off = singles[4:]
        by_place: list[Numbers] = list(columns)
        # By line and TTL, from TTL 1, and by line and ordinal.
        self._last_sent_at, self._longest_rtt, self.sent_at = by_place
        self._shorts = np.zeros((lines, 3 + 2 * ttls), np.int16)
        self.target_ttl: Shorts = self._shorts[:, 0]
        self._barrier_ttl: Shorts = self._shorts[:, 1]
        self._expected_ttl: Shorts = self._shorts[:, 2]
        # By line and TTL.
        self.sent, self.answers = self._shorts[:, 3 : 3 + ttls], self._shorts[:, 3 + ttls :]
        self._flags = np.zeros((lines, ttls + 2 * probes), np.bool_)
        self._held = self._flags[:, :ttls]
        # By line and ordinal.
        self.answered = self._flags[:, ttls : ttls + probes]
        self.stamped = self._flags[:, ttls + probes :]
        self._bytes: Bytes = np.zeros((lines, 2 * self.width + 8 * probes), np.uint8)
        self.targets = self._bytes[:, : self.width]
        self.sources = self._bytes[:, self.width : 2 * self.width]
        self.tags = self._bytes[:, 2 * self.width :].reshape(lines, probes, 8)
        self.ip_ids = np.zeros((lines, probes), np.uint16)
        self.ttl_of = np.zeros((lines, probes), np.uint8)
        self.rtt = np.zeros((lines, probes), np.int64)
        self.kind = np.zeros((lines, probes), np.uint8)
        self.who: Bytes = np.zeros((lines, probes, self.width), np.uint8)

        self._look_at = np.full(lines, _NEVER, np.int64)
        self._first_look_at = _NEVER
        self._free = list(range(lines - 1, -1, -1))
        # Traces with probes to send, at the first hops and further on, as `_ticket` names them.
        self.waiting = 0
        """Traces that have probes to send."""
        self._queued = np.zeros(lines, np.bool_)
        self._near: deque[int] = deque()
        self._far: deque[int] = deque()
        self._near_places = min(NEAR_HOPS, ttls) * spec.packets_per_ttl
        self._floor_ns = floor_of(spec)
        self._columns = np.arange(1, ttls + 1, dtype=np.int16)

    @property
    def room(self) -> int:
        """Lines that are free."""
        return len(self._free)

    @staticmethod
    def bytes_per_line(spec: TraceSpec, family: Family) -> int:
        """What one line takes in memory, about."""
        width = 4 if family is Family.IPV4 else 16
        probes = spec.max_ttl * spec.packets_per_ttl
        return 2_000 + probes * (64 + width) + spec.max_ttl * 21

    def add(self, flow: Flow, *, expected_ttl: int | None, now: int) -> int:
        """Begins a trace; its line. To be called while there is `room`."""
        line = self._free.pop()
        marks, spec = flow.marks, self.spec
        self.flows[line] = flow
        self.port = flow.port
        for key in flow.keys:
            self.line_of[place_of(key)] = line
        self.under_way += 1
        self._numbers[line] = 0
        self._numbers[line, :2] = now, flow.first_number
        self._shorts[line] = 0
        beyond = spec.max_ttl + 1
        self._shorts[line, :3] = beyond, beyond, expected_ttl or spec.max_ttl
        self._flags[line] = False
        self._bytes[line] = np.frombuffer(flow.target + flow.source + marks.tags, np.uint8)
        self.ip_ids[line] = marks.ip_ids
        self._queue(line, self._near)
        return line

    def free(self, line: int) -> None:
        """The line's trace has ended and is told of: the line is free."""
        self.flows[line] = None
        self.asides.pop(line, None)
        self.generation[line] += 1
        self._free.append(line)

    def aside(self, line: int) -> Aside:
        """What the line has beside the arrays."""
        return self.asides.setdefault(line, Aside())

    # Sending.

    @property
    def unsent(self) -> tuple[int, int]:
        """Lines that have probes to send at the first hops, and further on."""
        return len(self._near), len(self._far)

    def take(self, *, near: int, most: int) -> Due:
        """Probes to send now, at most `most`, of them at most `near` at the first hops. Each must
        then be reported by `left` or `failed`."""
        near_step = min(STEP, self._near_places)
        lines = self._pop(self._near, min(near, most) // near_step)
        lines += self._pop(self._far, (most - len(lines) * near_step) // STEP)
        return self._due(np.array(lines, np.intp))

    def _pop(self, queue: deque[int], most: int) -> list[int]:
        lines: list[int] = []
        while queue and len(lines) < most:
            generation, line = divmod(queue.popleft(), len(self.flows))
            if self.generation[line] == generation and not self.ended[line]:
                lines.append(line)
                self._queued[line] = False
        self.waiting -= len(lines)
        return lines

    def _queue(self, line: int, queue: deque[int]) -> None:
        queue.append(self._ticket(line))
        self._queued[line] = True
        self.waiting += 1

    def _ticket(self, line: int) -> int:
        return int(self.generation[line]) * len(self.flows) + line

    def _due(self, lines: Lines) -> Due:
        packets = self.spec.packets_per_ttl
        first, target = self._next[lines], self.target_ttl[lines]
        near = first < self._near_places
        end = np.minimum(first + STEP, np.where(near, self._near_places, self.probes))
        self._next[lines] = end
        place = first[:, None] + np.arange(STEP)
        ttl = place // packets + 1
        spared_beyond = np.minimum(self._expected_ttl[lines], self._barrier_ttl[lines])
        wanted = (place < end[:, None]) & (ttl <= target[:, None])
        wanted &= (place % packets == 0) | (ttl <= spared_beyond[:, None])
        wanted &= ~self._held[lines[:, None], np.minimum(ttl, self.spec.max_ttl) - 1]
        row, column = np.nonzero(wanted)
        ordinal = self.taken[lines][:, None] + np.cumsum(wanted, axis=1) - 1
        due = Due(lines[row], ordinal[row, column], ttl[row, column])
        self.taken[lines] += wanted.sum(axis=1)
        self.ttl_of[due.lines, due.ordinals] = due.ttls
        more = (end < self.probes) & (end // packets + 1 <= target)
        for line, its_end in zip(lines[more].tolist(), end[more].tolist(), strict=True):
            queue = self._near if its_end < self._near_places else self._far
            self._queue(line, queue)
        self._settle(lines[~more])
        return due

    def hold(self, line: int, ttl: int) -> None:
        """The probes of that TTL wait: each for `take_late`, or until it is spared."""
        self._held[line, ttl - 1] = True
        self.put_off[line] += self.spec.packets_per_ttl

    def take_late(self, line: int, ttl: int) -> Due:
        """A probe that has waited."""
        ordinal = int(self.taken[line])
        self.taken[line] += 1
        self.put_off[line] -= 1
        self.ttl_of[line, ordinal] = ttl
        return Due(*(np.array([each], np.intp) for each in (line, ordinal, ttl)))

    def left(self, due: Due, *, at: Numbers) -> None:
        """These probes were handed to the kernel at these times."""
        lines, ordinals, column = due.lines, due.ordinals, due.ttls - 1
        self.sent_at[lines, ordinals] = at
        np.add.at(self.sent, (lines, column), 1)
        self._last_sent_at[lines, column] = at
        self._settle(np.unique(lines))

    def failed(self, line: int, ordinal: int, error: int) -> None:
        """The probe could not be sent, for that errno: that is not loss."""
        self.sent_at[line, ordinal] = 0
        errors = self.aside(line).send_errors
        errors[error] = errors.get(error, 0) + 1
        self.settle(line)

    def kept_back(self, line: int, ordinals: Sequence[int], error: int, obstacle: str = "") -> None:
        """These probes never left the host after all, for that errno."""
        self.aside(line).obstacle = obstacle
        for ordinal in ordinals:
            if self.sent_at[line, ordinal]:
                self.sent[line, self.ttl_of[line, ordinal] - 1] -= 1
                self.failed(line, ordinal, error)

    def undeparted(self, line: int) -> list[int]:
        """Probes without an answer of which the kernel has not said that they left."""
        silent = (self.sent_at[line] > 0) & ~self.stamped[line] & ~self.answered[line]
        ordinals: list[int] = np.nonzero(silent)[0].tolist()
        return ordinals

    def with_undeparted(self, lines: Lines) -> Lines:
        """Those of the lines that have such probes."""
        silent = (self.sent_at[lines] > 0) & ~self.stamped[lines] & ~self.answered[lines]
        those: Lines = lines[silent.any(axis=1)]
        return those

    def with_tag(self, tag: bytes) -> int | None:
        """The line of a trace that has not ended, one of whose probes has that tag."""
        tags = self.tags.view(np.uint64)[:, :, 0]
        found = np.nonzero((tags == np.frombuffer(tag, np.uint64)).any(axis=1))[0].tolist()
        lines = (line for line in found if self.flows[line] is not None and not self.ended[line])
        return next(lines, None)

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

    def tickets(self, lines: Lines, ordinals: Lines) -> Numbers:
        """Numbers that name these probes, also when their lines are others' by then."""
        places = self.generation[lines] * len(self.flows) + lines
        tickets: Numbers = places * self.probes + ordinals
        return tickets

    def stamps(self, tickets: Numbers, at: Numbers, right: Flags) -> None:
        """The kernel's own word on when these probes left; not `right` where it cannot be."""
        places, ordinals = np.divmod(tickets, self.probes)
        generations, lines = np.divmod(places, len(self.flows))
        ours = self.generation[lines] == generations
        lines, ordinals, at, right = lines[ours], ordinals[ours], at[ours], right[ours]
        known = self.sent_at[lines, ordinals] > 0
        kept = known & right
        self.sent_at[lines[kept], ordinals[kept]] = at[kept]
        self.stamped[lines[kept], ordinals[kept]] = True
        for line in np.unique(lines[~right]).tolist():
            self.aside(line).clock_stepped = True

    # Hearing.

    def count(
        self, lines: Lines, ordinals: Lines, *, kind: Bytes, who: Bytes, at: Numbers,
        read_at: int, reduced_by: Numbers,
    ) -> Flags:  # fmt: skip
        """Counts answers to these probes; which of them count.

        `reduced_by` is how much of its TTL each probe had left beyond what it needed.
        """
        sent_at = self.sent_at[lines, ordinals]
        place = lines * self.probes + ordinals
        first = np.zeros(len(lines), np.bool_)
        first[np.unique(place, return_index=True)[1]] = True
        again = (self.answered[lines, ordinals] | ~first) & (sent_at > 0)
        stepped = (at < sent_at) & ~again
        if stepped.any():  # the wall clock was set between the two
            at = np.where(stepped, read_at, at)
            for line in np.unique(lines[stepped]).tolist():
                self.aside(line).clock_stepped = True
        rtt = at - sent_at
        good = (sent_at > 0) & ~again
        self._put(lines[good], ordinals[good], kind[good], who[good], rtt[good], reduced_by[good])
        return good

    def _put(
        self, lines: Lines, ordinals: Lines, kind: Bytes, who: Bytes, rtt: Numbers,
        reduced_by: Numbers,
    ) -> None:  # fmt: skip
        ttl = self.ttl_of[lines, ordinals].astype(np.int16)
        self.answered[lines, ordinals] = True
        self.rtt[lines, ordinals] = rtt
        self.kind[lines, ordinals] = kind
        self.who[lines, ordinals] = who
        np.add.at(self.answers, (lines, ttl - 1), 1)
        np.maximum.at(self._longest_rtt, (lines, ttl - 1), rtt)
        those = kind == NodeKind.TARGET
        if those.any():
            np.minimum.at(self.target_ttl, lines[those], ttl[those])
            nearer = ttl[those] - reduced_by[those]
            nearer = np.where(nearer > 0, nearer, ttl[those]).astype(np.int16)
            np.minimum.at(self._expected_ttl, lines[those], nearer)
        those = kind == NodeKind.BARRIER
        if those.any():
            np.minimum.at(self._barrier_ttl, lines[those], ttl[those])
        self._settle(np.unique(lines))

    # Ending.

    def expire(self, now: int) -> list[int]:
        """Ends the traces to which nothing more can come; their lines."""
        if now < self._first_look_at:
            return []
        lines = np.nonzero(self._look_at <= now)[0]
        closes_at = self._closes_at(lines)
        over = closes_at <= now
        self._look_at[lines] = closes_at
        ended = lines[over]
        self._end(ended, now)
        self._first_look_at = int(self._look_at.min())
        return [int(line) for line in ended]

    def stop(self, now: int) -> list[int]:
        """Ends all traces with what there is; their lines."""
        lines = np.array(sorted(set(self.line_of.values())), np.intp)
        self._near.clear()
        self._far.clear()
        self._end(lines, now)
        return [int(line) for line in lines]

    def next_look(self) -> int | None:
        """When `expire` has something to do; None where only an answer can change that."""
        return None if self._first_look_at == _NEVER else self._first_look_at

    def _end(self, lines: Lines, now: int) -> None:
        self.ended[lines] = now
        self._look_at[lines] = _NEVER
        self.under_way -= len(lines)
        self.waiting -= int(self._queued[lines].sum())
        self._queued[lines] = False
        for line in lines.tolist():
            flow = self.flows[line]
            for key in flow.keys if flow is not None else ():
                self.line_of.pop(place_of(key), None)

    def settle(self, line: int) -> None:
        """Has the line looked at again."""
        self._settle(np.array([line], np.intp))

    def _settle(self, lines: Lines) -> None:
        """Has these lines looked at again: at once where nothing is missing any more, else when
        the shortest patience can be over."""
        lines = lines[(self._next[lines] >= self.probes) | self._beyond(lines)]
        if not len(lines):
            return
        missing = self._missing(lines)
        last = np.where(missing, self._last_sent_at[lines], 0).max(axis=1)
        look_at = np.where(last > 0, last + self._floor_ns, 0)
        self._look_at[lines] = np.minimum(self._look_at[lines], look_at)
        self._first_look_at = min(self._first_look_at, int(look_at.min()))

    def _beyond(self, lines: Lines) -> Flags:
        """Whether what is still unsent lies beyond the target."""
        return self._next[lines] // self.spec.packets_per_ttl + 1 > self.target_ttl[lines]

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
        unsent = (self._next[lines] < self.probes) & ~self._beyond(lines)
        return np.where(unsent | (self.put_off[lines] > 0), _NEVER, closes_at)

    def _waits_until(self, lines: Lines, missing: Flags) -> Numbers:
        longest, last_sent_at = self._longest_rtt[lines], self._last_sent_at[lines]
        wait_ns, end = self.spec.wait_ns, self.ends_at(lines)
        end_rtt = longest[np.arange(len(lines)), end - 1]
        until = self.started[lines]
        nearest = np.zeros(len(lines), np.int64)
        for column in range(self.spec.max_ttl - 1, -1, -1):
            own = longest[:, column]
            patience = np.where(own > 0, HERE * own, np.where(nearest > 0, NEAR * nearest, wait_ns))
            beyond = (own == 0) & (nearest == 0) & (column >= end)
            patience = np.where(beyond, HERE * end_rtt, patience)
            patience = np.clip(patience, self._floor_ns, wait_ns)
            silent = missing[:, column]
            until = np.maximum(until, np.where(silent, last_sent_at[:, column] + patience, 0))
            nearest = np.where(own > 0, own, nearest)
        return until

    def ends_at(self, lines: Lines) -> Shorts:
        """The last TTL of interest: the target's, else a barrier's, else the spec's."""
        target, most = self.target_ttl[lines], self.spec.max_ttl
        return np.where(target <= most, target, np.minimum(self._barrier_ttl[lines], most))

    def short_of_answers(self, lines: Lines) -> Flags:
        """Whether a hop has fewer answers than probes, and one beyond it has them all."""
        sent, answers = self.sent[lines], self.answers[lines]
        inside = self._columns <= self.ends_at(lines)[:, None]
        whole = np.where(inside & (sent > 0) & (sent == answers), self._columns, 0).max(axis=1)
        short: Flags = ((answers < sent) & (self._columns < whole[:, None])).any(axis=1)
        return short


def place_of(key: FlowKey) -> bytes:
    """What an answer names the flow by, where packet type and port are all the same."""
    return key.target + key.identifier.to_bytes(4, "big")
