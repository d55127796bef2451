"""All traces of a bulk run: pacing, matching of answers, and ends.

It has the methods of `engine.engine.Engine`, for many probes, packets and traces at a time. A
target has at most one running trace: a second one waits until the first has ended.
"""

import errno
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
from colotrace_agent.engine.rules import DOUBTFUL, port_unreachable_kind
from colotrace_agent.engine.verdict import judge
from colotrace_agent.model import Counters, Heard, TraceSpec, family_of
from colotrace_agent.packets.formats import FORMATS

from .arrays import Bytes, Flags, Lines, Numbers
from .columns import Columns
from .finding import same_rows
from .flows import Flows, ManyIdentities, addresses_of
from .group import Group
from .lookup import Lookup, verifies
from .recognise import Plain, plain_answers
from .sending import Due
from .view import ProbesView, TraceView

_SAMPLE_NS = 100_000_000
MEMORY = 48 << 20
"""Bytes that the lines of one family take at most, about."""
_MOST_LINES = 16_384
# Batches are worth waiting for longer here; not so long that a late turn loses from the burst.
_GRAINS = 3
# Files seldom have a target twice.
_DISTANCES = 4_096


class Ended(NamedTuple):
    """Traces of one group that have ended; they keep their lines until they are `told`."""

    group: Group
    numbers: Lines
    limiting: dict[int, Sequence[int]]
    """By line, of few: TTLs of routers that have probably kept answers back, for their limits.
    Known once `BulkEngine.judge_limits` has looked."""

    def line(self, number: int) -> TraceView:
        """One of them."""
        return TraceView(self.group.columns, number, limiting=self.limiting.get(number, ()))


class BulkEngine:
    """Traces to targets that share all options. The target of `spec` is not used.

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
        self.groups: dict[Family, Group] = {}
        self._rate = rate or DEFAULT_RATE
        self._budget = Budget(shared_bucket(self._rate))
        self._grain = max(STEP, _GRAINS * grain_of(self._rate))
        self._near_rate = rate or DEFAULT_NEAR_RATE
        self._near = Budget(shared_bucket(self._near_rate))
        self._identities = ManyIdentities(secret=secret, flow_secret=flow_secret)
        self._routers = Routers() if routers is None else routers
        self._distances = Distances(most=_DISTANCES)
        self._spacing: Spacing[TraceView] = Spacing(settled=_settle)
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
        """Packets that the host dropped because a buffer was full."""
        self.unstamped = 0
        """Answers whose probe's departure the kernel did not stamp."""
        self.counted = Counters()
        """What ended traces have counted."""

    def __len__(self) -> int:
        return sum(len(group.columns.found) for group in self.groups.values())

    @property
    def waiting(self) -> int:
        """Traces that have probes to send."""
        return sum(group.sending.waiting for group in self.groups.values())

    def startable(self, targets: Sequence[bytes]) -> int:
        """The number of targets, from the first on, up to one that has a trace already or comes a
        second time."""
        seen: set[bytes] = set()
        for target in targets:
            if target in seen or target in self._targets:
                break
            seen.add(target)
        return len(seen)

    def room(self, family: Family) -> int:
        """How many traces of that family may begin now."""
        return self._group(family).columns.room

    def allocate(
        self, targets: Bytes, sources: Bytes, *, reserve: Callable[[int], bool], now: int
    ) -> tuple[Flows, Flags]:
        """Flows for `start`. See `ManyIdentities.allocate`."""
        return self._identities.allocate(self.spec, targets, sources, reserve=reserve, now=now)

    def give_back(self, flows: Flows, *, now: int) -> None:
        """Flows that `start` will not be called with."""
        self._identities.release(flows.names, now)

    def start(self, flows: Flows, *, now: int) -> tuple[Group, Lines]:
        """Begins traces. Returns their group and lines."""
        width = flows.targets.shape[1]
        group = self._group(Family.IPV4 if width == 4 else Family.IPV6)
        targets = addresses_of(flows.targets)
        expected = [self._distances.of(self.spec, target, now) for target in targets]
        ttls = np.array([ttl or self.spec.max_ttl for ttl in expected], np.int64)
        lines = group.sending.begin(flows, expected_ttls=ttls, now=now)
        self._targets.update(targets)
        if self._routers.knows_limits:
            for number, expected_ttl in zip(lines.tolist(), expected, strict=True):
                line = TraceView(group.columns, number)
                limits = self._routers.limits_of(
                    line.target, max_ttl=self.spec.max_ttl, distance=expected_ttl, now=now
                )
                self._hold(line, limits, now)
        return group, lines

    def _group(self, family: Family) -> Group:
        group = self.groups.get(family)
        if group is None:
            lines = min(MEMORY // Columns.bytes_per_line(self.spec, family), _MOST_LINES)
            group = self.groups[family] = Group(self.spec, family, lines=lines)
        return group

    def _hold(self, line: TraceView, limits: dict[int, Limit], now: int) -> None:
        latest = line.started + self.spec.wait_ns
        for ttl, limit in limits.items():
            for earlier in range(self.groups[line.columns.family].sending.hold(line.number, ttl)):
                self._spacing.hold(line, ttl, limit, earlier=earlier, latest=latest, now=now)

    # Sending.

    def poll(self, now: int, *, most: int) -> list[tuple[Group, Due]]:
        """Probes to send now, at most about `most`; each to be reported to its group, by `left` or
        `failed`."""
        allowed = min(self._budget.available(now), most)
        found = []
        for group in self.groups.values():
            group.sending.unblock(now)
            near, far = group.sending.unsent
            if allowed >= min(self._grain, most) and (near or far):
                due = group.sending.take(near=self._near.available(now), most=allowed, now=now)
                found.append((group, due))
                allowed -= self._spend(due)
        found += self._take_late(allowed, now)
        return [(group, due) for group, due in found if len(due.lines)]

    def _take_late(self, allowed: int, now: int) -> list[tuple[Group, Due]]:
        """Probes that have waited for a router that limits its answers."""
        found: list[tuple[Group, Due]] = []

        def ready_at(line: TraceView, ttl: int) -> int:
            at = self.groups[line.columns.family].sending.target_ready_at(line.number, now)
            if at <= now and ttl <= NEAR_HOPS and not self._near.available(now):
                return self._near.ready_at()
            return at

        late = self._spacing.ready(now, is_full=lambda: len(found) >= allowed, ready_at=ready_at)
        for line, ttl in late:
            due = self.groups[line.columns.family].sending.take_late(line.number, ttl)
            found.append((self.groups[line.columns.family], due))
            self._spend(due)
        return found

    def _spend(self, due: Due) -> int:
        """Charges probes to the budgets. Returns their number."""
        self._budget.spend(len(due.lines))
        self._near.spend(int((due.ttls <= NEAR_HOPS).sum()))
        return len(due.lines)

    # Hearing.

    def heard_batch(
        self, family: Family, packets: Bytes, lengths: Numbers, senders: Bytes, *,
        at: Numbers, read_at: int,
    ) -> Sequence[int]:  # fmt: skip
        """Takes in packets from an ICMP socket. Returns the rows to decode and pass to `heard`."""
        group = self.groups.get(family)
        every = range(len(packets))
        if group is None or FORMATS[self.spec.packet_type].inner is not None:
            return every
        plain = plain_answers(group.columns, packets, lengths, senders)
        if not len(plain.rows):
            return every
        if FORMATS[self.spec.packet_type].ports:
            plain = _doubted(group, plain)
        good = group.hearing.count(
            plain.lines, plain.ordinals, kind=plain.kind, who=plain.who, at=at[plain.rows],
            read_at=read_at, ttl_left=plain.ttl_left,
        )  # fmt: skip
        good &= plain.kind < NodeKind.BARRIER
        near = good & (group.columns.ttl_of[plain.lines, plain.ordinals] <= NEAR_HOPS)
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
        whole: np.dtype[Any] = np.dtype(np.uint32 if near.shape[1] == 4 else "V16")
        addresses, counts = np.unique(near.view(whole)[:, 0], return_counts=True)
        for address, count in zip(addresses, counts.tolist(), strict=True):
            self._routers.count(address.tobytes(), count, now=now)

    def heard(self, heard: Heard, *, at: int, read_at: int) -> None:
        """A packet that may answer a probe, whatever kind it is."""
        group = self.groups.get(family_of(heard.key.target))
        found = self._lookup.find(group.columns, heard, read_at) if group is not None else None
        if not heard.intact and not (
            group is not None and found and verifies(group.columns, heard, *found)
        ):
            self.malformed += 1
            return
        if group is None or found is None:
            if self._identities.is_released(self.spec, heard.key, read_at):
                self.late += 1
            else:
                self.foreign += 1
            return
        number, flow = found
        ordinal = place(ProbesView(group.columns, number, flow), heard, at=at)
        if ordinal is None:
            return
        meaning = judge(heard, flow)
        if meaning.by_own_host:
            group.sending.kept_back(number, [ordinal], errno.EHOSTUNREACH)
            return
        # `TraceView.settle` labels a doubtful refusal once it is decided.
        labels = meaning.labels[1:] if meaning.doubtful else meaning.labels
        who = np.frombuffer(heard.responder, np.uint8)[None, :]
        group.hearing.count(
            np.array([number]), np.array([ordinal]),
            kind=np.array([meaning.stored_kind], np.uint8),
            who=who,
            at=np.array([at]), read_at=read_at,
            ttl_left=np.array([meaning.ttl_left]),
        )  # fmt: skip
        if labels:
            group.columns.aside(number).labels[ordinal] = labels
        near = group.columns.ttl_of[number, ordinal] <= NEAR_HOPS
        if near and meaning.kind is not NodeKind.BARRIER:
            self._count_near(who, read_at)

    def overflowed(self, packets: int) -> None:
        """The host dropped that many packets, which may have been answers to any trace."""
        self.overflows += packets
        for group in self.groups.values():
            group.columns.overflows += packets

    # Ending.

    def expire(self, now: int) -> list[Ended]:
        """Ends the traces that wait for no more answers; each must be `told`."""
        return self._settled({each: each.ending.expire(now) for each in self.groups.values()})

    def stop(self, now: int) -> list[Ended]:
        """Ends all traces with the answers so far; each must be `told`."""
        for group in self.groups.values():
            group.sending.clear()
        return self._settled({each: each.ending.stop(now) for each in self.groups.values()})

    def _settled(self, found: dict[Group, Lines]) -> list[Ended]:
        """The traces that have ended, with their doubtful refusals attributed."""
        ended = [Ended(group, numbers, {}) for group, numbers in found.items() if len(numbers)]
        for group, numbers, _ in ended:
            columns = group.columns
            doubtful = columns.answered[numbers] & (columns.kind[numbers] == DOUBTFUL)
            for number in numbers[doubtful.any(axis=1)].tolist():
                TraceView(columns, number).settle()
        return ended

    def told(self, ended: Ended, now: int) -> None:
        """Frees ended traces after they have been reported."""
        group, numbers = ended.group, ended.numbers
        targets = addresses_of(group.columns.targets[numbers])
        for target, ttl in zip(targets, group.columns.target_ttl[numbers].tolist(), strict=True):
            if ttl <= self.spec.max_ttl:
                self._distances.put(self.spec, target, ttl, now)
        for counters in group.columns.all_counted(numbers):
            self.counted.add(counters)
        self.unstamped += group.columns.unstamped(numbers)
        group.sending.keep_used(numbers, now)
        self._identities.release(group.columns.names[numbers], now)
        self._targets.difference_update(targets)
        group.columns.free(numbers)

    def next_deadline(self, now: int) -> int | None:
        """When `poll` or `expire` has something to do; None: not before an answer arrives."""
        times = [self._spacing.next_at()]
        for group in self.groups.values():
            times += (group.ending.next_look(), group.sending.blocked_until)
        unsent = [group.sending.unsent for group in self.groups.values()]
        self._budget.available(now)
        self._near.available(now)
        if any(far for _, far in unsent):
            times.append(self._budget.ready_at(self._grain))
        elif any(near for near, _ in unsent):
            near_at = self._near.ready_at(max(STEP, _GRAINS * grain_of(self._near_rate)))
            times.append(max(self._budget.ready_at(self._grain), near_at))
        return min((at for at in times if at is not None), default=None)

    def judge_limits(self, ended: Ended, now: int) -> None:
        """Finds the TTLs at which ended traces probably lack answers because of rate limits.

        To be called after `overflowed`: traces that may lack answers because the host dropped
        packets say nothing about routers.
        """
        columns, numbers = ended.group.columns, ended.numbers
        short = numbers[
            columns.short_of_answers(numbers) & (columns.overflows[numbers] == 0)
        ].tolist()
        sampled = numbers[:1].tolist() if now - self._sampled_at > _SAMPLE_NS else []
        for number in dict.fromkeys((*sampled, *short)):
            self._learn_path(TraceView(columns, number), now)
        for number in short:
            line = TraceView(columns, number)
            end = line.end_ttl
            if ttls := self._routers.judge(
                line.path, line.sent[:end], line.answers[:end],
                target=line.target, started=line.started, now=now,
            ):  # fmt: skip
                ended.limiting[number] = ttls

    def _learn_path(self, line: TraceView, now: int) -> None:
        self._sampled_at = now
        known: dict[int, bytes] = {}
        for ttl, address in line.path.items():
            self._routers.passed(known, ttl, address, now=now)


def _doubted(group: Group, plain: Plain) -> Plain:
    """The answers, with port-unreachables from other addresses than the targets' as doubtful, and
    without those of the host's own kernel."""
    closed = np.nonzero(plain.kind == NodeKind.TARGET)[0]
    from_target = same_rows(group.columns.targets[plain.lines[closed]], plain.who[closed])
    if from_target.all():
        return plain
    plain.kind[closed] = port_unreachable_kind(from_target)
    elsewhere = closed[~from_target]
    own = elsewhere[same_rows(group.columns.sources[plain.lines[elsewhere]], plain.who[elsewhere])]
    kept = np.ones(len(plain.rows), np.bool_)
    kept[own] = False
    return plain.some(kept)


def _settle(line: TraceView) -> None:
    line.columns.unsettled[line.number] = True
