"""All traces of a bulk run: whose turn it is to send, and whose an answer is.

Verbs as those of `engine.engine.Engine`, but for many probes, packets and traces at a time. Two
traces to one target never run side by side here: the second waits until the first has ended.
"""

import errno
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from colotrace_proto.messages import Family, NodeKind

from colotrace_agent.engine.limits.budget import (
    DEFAULT_NEAR_RATE,
    DEFAULT_RATE,
    NEAR_HOPS,
    STEP,
    Budget,
    grain_of,
    shared_bucket,
)
from colotrace_agent.engine.limits.distances import Distances
from colotrace_agent.engine.limits.routers import Limit, Routers
from colotrace_agent.engine.limits.spacing import Spacing
from colotrace_agent.engine.placing import place
from colotrace_agent.engine.rules import port_unreachable_kind
from colotrace_agent.engine.verdict import judge
from colotrace_agent.model import Counters, Heard, TraceSpec, family_of
from colotrace_agent.packets.formats import FORMATS

from .finding import same_rows
from .flows import Flows, ManyIdentities, addresses_of
from .line import Line, LineProbes
from .lookup import Lookup, verifies
from .recognise import Plain, plain_answers
from .state import Bytes, Flags, Lines, Numbers
from .table import Due, Table

_SAMPLE_NS = 100_000_000
MEMORY = 48 << 20
"""Bytes that the lines of one family take at most, about."""
_MOST_LINES = 16_384
# Batches are worth waiting for longer here; not so long that a late turn loses from the burst.
_GRAINS = 3
# Files seldom have a target twice.
_DISTANCES = 4_096


class Ended(NamedTuple):
    """Traces of one table that have ended; they keep their lines until they are `told`."""

    table: Table
    numbers: Lines
    limiting: dict[int, Sequence[int]]
    """By line, of few: TTLs of routers that have probably kept answers back, for their limits.
    Known once `BulkEngine.judge_limits` has looked."""

    def line(self, number: int) -> Line:
        """One of them."""
        return Line(self.table, number, limiting=self.limiting.get(number, ()))


class BulkEngine:
    """Traces to targets that share all options; `spec`'s own target is nobody's.

    `rate` replaces the budget of all packets and that of those to the first hops; `secret` and
    `flow_secret` are those of `Identities`.
    """

    def __init__(
        self,
        spec: TraceSpec,
        *,
        rate: float | None = None,
        secret: bytes | None = None,
        flow_secret: bytes = b"",
        routers: Routers | None = None,
    ) -> None:
        self.spec = spec
        self.tables: dict[Family, Table] = {}
        self._rate = rate or DEFAULT_RATE
        self._budget = Budget(shared_bucket(self._rate))
        self._grain = max(STEP, _GRAINS * grain_of(self._rate))
        self._near_rate = rate or DEFAULT_NEAR_RATE
        self._near = Budget(shared_bucket(self._near_rate))
        self._identities = ManyIdentities(secret=secret, flow_secret=flow_secret)
        self._routers = Routers() if routers is None else routers
        self._distances = Distances(most=_DISTANCES)
        self._spacing: Spacing[Line] = Spacing(settled=_settle)
        self._lookup = Lookup()
        self._targets: set[bytes] = set()
        self._sampled_at = 0
        self.malformed = 0
        """Messages with a wrong checksum that verify for no probe."""
        self.foreign = 0
        """Packets that look like answers, but to no probe of ours."""
        self.late = 0
        """Answers to traces that have ended."""
        self.overflows = 0
        """Packets that the host had no room for."""
        self.unstamped = 0
        """Answers whose probe's departure the kernel did not stamp."""
        self.counted = Counters()
        """What ended traces have counted."""

    def __len__(self) -> int:
        return sum(table.under_way for table in self.tables.values())

    @property
    def waiting(self) -> int:
        """Traces that have probes to send."""
        return sum(table.waiting for table in self.tables.values())

    def startable(self, targets: Sequence[bytes]) -> int:
        """How many of these may have traces side by side, in this order: up to one that has a
        trace already."""
        if self._targets.isdisjoint(targets) and len(set(targets)) == len(targets):
            return len(targets)
        seen: set[bytes] = set()
        for target in targets:
            if target in seen or target in self._targets:
                break
            seen.add(target)
        return len(seen)

    def room(self, family: Family) -> int:
        """How many traces of that family may begin now."""
        return self._table(family).room

    def allocate(
        self, targets: Bytes, sources: Bytes, *, reserve: Callable[[int], bool], now: int
    ) -> tuple[Flows, Flags]:
        """Flows for `start`. See `ManyIdentities.allocate`."""
        return self._identities.allocate(self.spec, targets, sources, reserve=reserve, now=now)

    def give_back(self, flows: Flows, *, now: int) -> None:
        """Flows that `start` will not be called with."""
        self._identities.release(flows.names, now)

    def start(self, flows: Flows, *, now: int) -> tuple[Table, Lines]:
        """Begins traces; their table and lines."""
        width = flows.targets.shape[1]
        table = self._table(Family.IPV4 if width == 4 else Family.IPV6)
        targets = addresses_of(flows.targets)
        expected = [self._distances.of(self.spec, target, now) for target in targets]
        ttls = np.array([ttl or self.spec.max_ttl for ttl in expected], np.int64)
        lines = table.begin(flows, expected_ttls=ttls, now=now)
        self._targets.update(targets)
        if self._routers.knows_limits:
            for number, expected_ttl in zip(lines.tolist(), expected, strict=True):
                line = Line(table, number)
                limits = self._routers.limits_of(line, distance=expected_ttl, now=now)
                self._hold(line, limits, now)
        return table, lines

    def _table(self, family: Family) -> Table:
        table = self.tables.get(family)
        if table is None:
            lines = min(MEMORY // Table.bytes_per_line(self.spec, family), _MOST_LINES)
            table = self.tables[family] = Table(self.spec, family, lines=lines)
        return table

    def _hold(self, line: Line, limits: dict[int, Limit], now: int) -> None:
        for ttl, limit in limits.items():
            for earlier in range(line.table.hold(line.number, ttl)):
                self._spacing.hold(line, ttl, limit, earlier=earlier, now=now)

    # Sending.

    def poll(self, now: int, *, most: int) -> list[tuple[Table, Due]]:
        """Probes to send now, at most about `most`; each to be reported to its table, by `left` or
        `failed`."""
        allowed = min(self._budget.available(now), most)
        found = []
        for table in self.tables.values():
            table.unblock(now)
            near, far = table.unsent
            if allowed >= min(self._grain, most) and (near or far):
                due = table.take(near=self._near.available(now), most=allowed, now=now)
                found.append((table, due))
                allowed -= self._spend(due)
        found += self._take_late(allowed, now)
        return [(table, due) for table, due in found if len(due.lines)]

    def _take_late(self, allowed: int, now: int) -> list[tuple[Table, Due]]:
        """Probes that have waited for a router that limits its answers."""
        found: list[tuple[Table, Due]] = []

        def ready_at(line: Line, ttl: int) -> int:
            at = line.table.target_ready_at(line.number, now)
            if at <= now and ttl <= NEAR_HOPS and not self._near.available(now):
                return self._near.ready_at()
            return at

        late = self._spacing.ready(now, is_full=lambda: len(found) >= allowed, ready_at=ready_at)
        for line, ttl in late:
            due = line.table.take_late(line.number, ttl)
            found.append((line.table, due))
            self._spend(due)
        return found

    def _spend(self, due: Due) -> int:
        """Takes probes off the budgets; how many they are."""
        self._budget.spend(len(due.lines))
        self._near.spend(int((due.ttls <= NEAR_HOPS).sum()))
        return len(due.lines)

    # Hearing.

    def heard_batch(
        self, family: Family, packets: Bytes, lengths: Numbers, senders: Bytes, *,
        at: Numbers, read_at: int,
    ) -> Sequence[int]:  # fmt: skip
        """Takes in what came to an ICMP socket; the rows that are to be decoded and `heard`."""
        table = self.tables.get(family)
        every = range(len(packets))
        if table is None or FORMATS[self.spec.packet_type].inner is not None:
            return every
        plain = plain_answers(table, packets, lengths, senders)
        if not len(plain.rows):
            return every
        if FORMATS[self.spec.packet_type].ports:
            plain = _doubted(table, plain)
        good = table.count(
            plain.lines, plain.ordinals, kind=plain.kind, who=plain.who, at=at[plain.rows],
            read_at=read_at, reduced_by=plain.reduced_by,
        )  # fmt: skip
        good &= plain.kind < NodeKind.BARRIER
        near = good & (table.ttl_of[plain.lines, plain.ordinals] <= NEAR_HOPS)
        self._count_near(plain.who[near], read_at)
        odd = np.ones(len(packets), np.bool_)
        odd[plain.rows] = False
        rows: list[int] = np.nonzero(odd)[0].tolist()
        return rows

    def _count_near(self, who: Bytes, now: int) -> None:
        near = np.ascontiguousarray(who)
        if not len(near):
            return
        # Numbers are sorted much faster than strings of bytes.
        addresses: Sequence[bytes]
        if near.shape[1] == 4:
            found, counts = np.unique(near.view(np.uint32)[:, 0], return_counts=True)
            addresses = [address.tobytes() for address in found]
        else:
            whole, counts = np.unique(near.view("V16")[:, 0], return_counts=True)
            addresses = [address.tobytes() for address in whole]
        for address, count in zip(addresses, counts.tolist(), strict=True):
            self._routers.count(address, count, now=now)

    def heard(self, heard: Heard, *, at: int, read_at: int) -> None:
        """A packet that may answer a probe, whatever kind it is."""
        table = self.tables.get(family_of(heard.key.target))
        found = self._lookup.find(table, heard, read_at) if table is not None else None
        if not heard.intact and not (
            table is not None and found and verifies(table, heard, *found)
        ):
            self.malformed += 1
            return
        if table is None or found is None:
            if self._identities.is_released(self.spec, heard.key, read_at):
                self.late += 1
            else:
                self.foreign += 1
            return
        number, flow = found
        ordinal = place(LineProbes(table, number, flow), heard, at=at)
        if ordinal is None:
            return
        meaning = judge(heard, flow)
        if meaning.by_own_host:
            table.kept_back(number, [ordinal], errno.EHOSTUNREACH)
            return
        # `Line.settle` labels a doubtful refusal once it is decided.
        labels = meaning.labels[1:] if meaning.doubtful else meaning.labels
        who = np.frombuffer(heard.responder, np.uint8)[None, :]
        table.count(
            np.array([number]), np.array([ordinal]),
            kind=np.array([meaning.stored_kind], np.uint8),
            who=who,
            at=np.array([at]), read_at=read_at,
            reduced_by=np.array([meaning.ttl_left]),
        )  # fmt: skip
        if labels:
            table.aside(number).labels[ordinal] = labels
        if meaning.kind is not NodeKind.BARRIER and table.ttl_of[number, ordinal] <= NEAR_HOPS:
            self._count_near(who, read_at)

    def overflowed(self, packets: int) -> None:
        """The host had no room for that many packets, whosever answers they were."""
        self.overflows += packets
        for table in self.tables.values():
            table.overflows += packets

    # Ending.

    def expire(self, now: int) -> list[Ended]:
        """Ends the traces to which nothing more can come; each to be `told`."""
        return [
            self._ended(table, numbers)
            for table in self.tables.values()
            if len(numbers := table.expire(now))
        ]

    def stop(self, now: int) -> list[Ended]:
        """Ends all traces with what there is; each to be `told`."""
        return [
            self._ended(table, numbers)
            for table in self.tables.values()
            if len(numbers := table.stop(now))
        ]

    def told(self, ended: Ended, now: int) -> None:
        """Ended traces have been told of, and are forgotten."""
        table, numbers = ended.table, ended.numbers
        targets = addresses_of(table.targets[numbers])
        for target, ttl in zip(targets, table.target_ttl[numbers].tolist(), strict=True):
            if ttl <= self.spec.max_ttl:
                self._distances.put(self.spec, target, ttl, now)
        for counters in table.all_counted(numbers):
            self.counted.add(counters)
        self.unstamped += table.unstamped(numbers)
        table.keep_used(numbers, now)
        self._identities.release(table.names[numbers], now)
        self._targets.difference_update(targets)
        table.free(numbers)

    def next_deadline(self, now: int) -> int | None:
        """When `poll` or `expire` has something to do; None where only an answer can change
        that."""
        times = [at for table in self.tables.values() if (at := table.next_look()) is not None]
        unsent = [table.unsent for table in self.tables.values()]
        self._budget.available(now)
        self._near.available(now)
        if any(far for _, far in unsent):
            times.append(self._budget.ready_at(self._grain))
        elif any(near for near, _ in unsent):
            near_at = self._near.ready_at(max(STEP, _GRAINS * grain_of(self._near_rate)))
            times.append(max(self._budget.ready_at(self._grain), near_at))
        times += [at for table in self.tables.values() if (at := table.blocked_until) is not None]
        late_at = self._spacing.next_at()
        if late_at is not None:
            times.append(late_at)
        return min(times, default=None)

    def _ended(self, table: Table, numbers: Lines) -> Ended:
        if table.doubtful[numbers].any():
            for number in numbers[table.doubtful[numbers]].tolist():
                Line(table, number).settle()
        return Ended(table, numbers, {})

    def judge_limits(self, ended: Ended, now: int) -> None:
        """Finds where routers' limits have probably kept answers from ended traces.

        To be called once the host's own losses are known (`overflowed`): what the host had no room
        for says nothing about routers.
        """
        table, numbers = ended.table, ended.numbers
        short = numbers[table.short_of_answers(numbers) & (table.overflows[numbers] == 0)].tolist()
        sampled = numbers[:1].tolist() if now - self._sampled_at > _SAMPLE_NS else []
        for number in dict.fromkeys((*sampled, *short)):
            self._learn_path(Line(table, number), now)
        for number in short:
            if ttls := self._routers.judge(Line(table, number), now=now):
                ended.limiting[number] = ttls

    def _learn_path(self, line: Line, now: int) -> None:
        self._sampled_at = now
        known: dict[int, bytes] = {}
        for ttl, address in line.path.items():
            self._routers.passed(known, ttl, address, now=now)


def _doubted(table: Table, plain: Plain) -> Plain:
    """The same, where refusals from other addresses than the targets' are doubtful; those that the
    host's own kernel sent are left out."""
    closed = np.nonzero(plain.kind == NodeKind.TARGET)[0]
    from_target = same_rows(table.targets[plain.lines[closed]], plain.who[closed])
    if from_target.all():
        return plain
    plain.kind[closed] = port_unreachable_kind(from_target)
    elsewhere = closed[~from_target]
    own = elsewhere[same_rows(table.sources[plain.lines[elsewhere]], plain.who[elsewhere])]
    kept = np.ones(len(plain.rows), np.bool_)
    kept[own] = False
    return Plain(
        plain.rows[kept], plain.lines[kept], plain.ordinals[kept], plain.kind[kept],
        plain.who[kept], plain.reduced_by[kept],
    )  # fmt: skip


def _settle(line: Line) -> None:
    line.table.settle(line.number)
