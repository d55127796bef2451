"""Queues of lines that send: `engine.rules` and the targets' budgets, for many lines at once."""

import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from colotrace_agent.engine import rules
from colotrace_agent.engine.limits.budget import NEAR_HOPS, STEP, TARGET_BUCKET, Budgets, Fill
from colotrace_agent.engine.rules import Bounds
from colotrace_agent.model import MissingNeighbour

from .arrays import Lines, Numbers
from .columns import Columns
from .flows import Flows, addresses_of


class Due(NamedTuple):
    """Probes to send, in this order: line, ordinal and TTL of each."""

    lines: Lines
    ordinals: Lines
    ttls: Lines


class Sending:
    """Round-robin queues of the lines that have probes to send."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        spec = columns.spec
        # One queue for the first hops, one for the rest. A queued ticket is not removed when its
        # trace ends: it has an old generation then, and is skipped.
        self._queued = np.zeros(columns.lines, np.bool_)
        self._near, self._far = _Queue(), _Queue()
        self._near_places = min(NEAR_HOPS, spec.max_ttl) * spec.packets_per_ttl
        self._step = np.arange(STEP)
        # Token buckets of the lines' targets; those of targets traced before, until they are full;
        # and a heap of lines that wait for a token, as (time, ticket).
        self._allowed = Budgets(columns.lines, TARGET_BUCKET)
        self._used: OrderedDict[bytes, Fill] = OrderedDict()
        self._blocked: list[tuple[int, int]] = []

    def begin(self, flows: Flows, *, expected_ttls: Numbers, now: int) -> Lines:
        """Begins traces. Returns their lines; there must be `room` for all."""
        lines = self._columns.begin(flows, expected_ttls=expected_ttls, now=now)
        self._allowed.fill(lines)
        if self._used:
            for line, target in zip(lines.tolist(), addresses_of(flows.targets), strict=True):
                if (state := self._used.pop(target, None)) is not None:
                    self._allowed.put_back(line, state)
        self._queue(lines, self._near)
        return lines

    @property
    def waiting(self) -> int:
        """Traces that have probes to send."""
        return int(np.count_nonzero(self._queued & (self._columns.ended == 0)))

    @property
    def unsent(self) -> tuple[int, int]:
        """Lines that have probes to send at the first hops, and further on."""
        return len(self._near), len(self._far)

    @property
    def blocked_until(self) -> int | None:
        """When the first line that waits for its target's budget may go on; None: no line waits."""
        return self._blocked[0][0] if self._blocked else None

    def unblock(self, now: int) -> None:
        """Queues the waiting lines whose targets' budgets allow a probe."""
        while self._blocked and self._blocked[0][0] <= now:
            ticket = heapq.heappop(self._blocked)[1]
            generation, number = divmod(ticket, self._columns.lines)
            if self._columns.generation[number] == generation and not self._columns.ended[number]:
                line = np.array([number], np.intp)
                near = self._columns.next_place[number] < self._near_places
                self._queue(line, self._near if near else self._far)

    def keep_used(self, lines: Lines, now: int) -> None:
        """Keeps the budgets of ended traces' targets until they are full again."""
        some = lines[~self._allowed.is_full(lines, now)]
        targets = addresses_of(self._columns.targets[some])
        for line, target in zip(some.tolist(), targets, strict=True):
            self._used[target] = self._allowed.take_out(line)
        while self._used:
            target, used = next(iter(self._used.items()))
            if not TARGET_BUCKET.is_full(used.level, now - used.at):
                return
            del self._used[target]

    def take(self, *, near: int, most: int, now: int) -> Due:
        """Probes to send now, at most `most`, of them at most `near` at the first hops. Each must
        then be reported by `left` or `failed`."""
        near_step = min(STEP, self._near_places)
        while True:
            nearby = self._pop(self._near, min(near, most) // near_step)
            distant = self._pop(self._far, (most - len(nearby) * near_step) // STEP)
            lines = np.concatenate((nearby, distant))
            due = self._due(lines, now)
            # Lines whose next probes are all skipped do not count as a turn.
            if len(due.lines) or not len(lines):
                return due

    def _pop(self, queue: "_Queue", most: int) -> Lines:
        found: list[Lines] = []
        columns, missing = self._columns, most
        while missing > 0 and len(queue):
            tickets = queue.pop(missing)
            generations, lines = np.divmod(tickets, columns.lines)
            lines = lines[(columns.generation[lines] == generations) & (columns.ended[lines] == 0)]
            missing -= len(lines)
            found.append(lines)
        lines = np.concatenate(found) if found else np.zeros(0, np.intp)
        self._queued[lines] = False
        return lines

    def _queue(self, lines: Lines, queue: "_Queue") -> None:
        if len(lines):
            queue.push(self._columns.generation[lines] * self._columns.lines + lines)
            self._queued[lines] = True

    def _due(self, lines: Lines, now: int) -> Due:
        packets = self._columns.spec.packets_per_ttl
        first, bounds = self._columns.next_place[lines], self._columns.bounds_of(lines)
        near = first < self._near_places
        end = np.minimum(first + STEP, np.where(near, self._near_places, self._columns.probes))
        place = first[:, None] + self._step
        ttl, earlier = rules.probe_at(place, packets)
        by_row = Bounds(*(bound[:, None] for bound in bounds))
        wanted = (place < end[:, None]) & (earlier < rules.probes_at(ttl, packets, by_row))
        column = np.minimum(ttl, self._columns.spec.max_ttl) - 1
        wanted &= ~self._columns.held[lines[:, None], column]
        count = np.cumsum(wanted, axis=1)
        asks = count[:, -1] > 0
        allowed = np.zeros(len(lines), np.int64)
        allowed[asks] = self._allowed.available(lines[asks], now)
        blocked = count[:, -1] > allowed
        if blocked.any():
            too_many = count > allowed[:, None]
            end[blocked] = first[blocked] + too_many[blocked].argmax(axis=1)
            wanted &= ~too_many
        self._columns.next_place[lines] = end
        self._allowed.spend(lines, wanted.sum(axis=1))
        row, column = np.nonzero(wanted)
        ordinal = self._columns.taken[lines][:, None] + count - 1
        due = Due(lines[row], ordinal[row, column], ttl[row, column])
        self._columns.taken[lines] += wanted.sum(axis=1)
        self._columns.flat_ttl_of[self._columns.places(due.lines, due.ordinals)] = due.ttls
        if blocked.any():
            self._block(lines[blocked], now)
        more = (end < self._columns.probes) & (end // packets + 1 <= bounds.target_ttl) & ~blocked
        near = end < self._near_places
        self._queue(lines[more & near], self._near)
        self._queue(lines[more & ~near], self._far)
        self._columns.unsettled[lines[~more]] = True
        return due

    def _block(self, lines: Lines, now: int) -> None:
        """Makes these lines wait until their targets' budgets have refilled."""
        self._allowed.available(lines, now)
        for line in lines.tolist():
            ticket = int(self._columns.generation[line]) * self._columns.lines + line
            heapq.heappush(self._blocked, (self._allowed.ready_at(line), ticket))

    def hold(self, line: int, ttl: int) -> int:
        """Defers the probes of a TTL, each until `take_late` or until it is spared. Returns their
        number."""
        bounds = Bounds(*(int(bound[line]) for bound in self._columns.bounds))
        count = rules.probes_at(ttl, self._columns.spec.packets_per_ttl, bounds)
        self._columns.held[line, ttl - 1] = True
        self._columns.put_off[line] += count
        return count

    def target_ready_at(self, line: int, now: int) -> int:
        """When the line's target may be sent a packet."""
        if self._allowed.available(np.array([line]), now)[0]:
            return now
        return self._allowed.ready_at(line)

    def take_late(self, line: int, ttl: int) -> Due:
        """The next deferred probe of a TTL."""
        ordinal = int(self._columns.taken[line])
        self._columns.taken[line] += 1
        self._columns.put_off[line] -= 1
        self._allowed.spend(np.array([line]), np.array([1]))
        self._columns.ttl_of[line, ordinal] = ttl
        return Due(*(np.array([each], np.intp) for each in (line, ordinal, ttl)))

    def sent(self, due: Due, *, at: Numbers) -> None:
        """These probes were handed to the kernel at these times."""
        lines, column = due.lines, due.ttls - 1
        self._columns.flat_sent_at[self._columns.places(lines, due.ordinals)] = at
        if self._columns.spec.packets_per_ttl == 1:  # then no hop is there twice
            self._columns.sent[lines, column] += 1
        else:
            np.add.at(self._columns.sent, (lines, column), 1)
        self._columns.last_sent_at[lines, column] = at
        self._columns.unsettled[lines] = True

    def failed(self, line: int, ordinal: int, error: int) -> None:
        """Counts a probe that the kernel refused, with the errno. It is not loss."""
        self._columns.sent_at[line, ordinal] = 0
        self._columns.aside(line).caveats.send_errors[error] += 1
        self._columns.unsettled[line] = True

    def kept_back(
        self, line: int, ordinals: Sequence[int], error: int,
        obstacle: MissingNeighbour | None = None,
    ) -> None:  # fmt: skip
        """Counts probes that were sent but did not leave the host, with the errno."""
        self._columns.aside(line).caveats.obstacle = obstacle
        for ordinal in ordinals:
            if self._columns.sent_at[line, ordinal]:
                self._columns.sent[line, self._columns.ttl_of[line, ordinal] - 1] -= 1
                self.failed(line, ordinal, error)

    def clear(self) -> None:
        """Drop all queued turns."""
        self._near.clear()
        self._far.clear()


class _Queue:
    """Numbers, first in, first out; pushed and popped many at a time."""

    def __init__(self) -> None:
        self._parts: deque[Numbers] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, numbers: Numbers) -> None:
        self._parts.append(numbers)
        self._length += len(numbers)

    def pop(self, most: int) -> Numbers:
        """Some of the first, at least one: there must be one."""
        part = self._parts.popleft()
        if len(part) > most:
            self._parts.appendleft(part[most:])
            part = part[:most]
        self._length -= len(part)
        return part

    def clear(self) -> None:
        self._parts.clear()
        self._length = 0
