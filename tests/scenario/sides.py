"""The single engine and the bulk engine behind one face, so that one test can drive both.

Probes are named by what both have in common: the target, how many traces to it came before, the
TTL, and how many probes of that TTL came before.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
from colotrace_agent.bulk.arrays import Numbers
from colotrace_agent.bulk.engine import BulkEngine, Ended
from colotrace_agent.bulk.flows import rows_of
from colotrace_agent.bulk.group import Group
from colotrace_agent.bulk.sending import Due
from colotrace_agent.bulk.view import TraceView
from colotrace_agent.engine.engine import Engine
from colotrace_agent.engine.limits.routers import Routers
from colotrace_agent.engine.trace import Trace
from colotrace_agent.job.frames import Report
from colotrace_agent.model import Counters, Flow, Reply, TraceSpec, Unheard
from colotrace_agent.model import Probe as ProbeToSend
from colotrace_agent.packets.formats import writer_for
from colotrace_proto.messages import Failure, JobId, Outcome
from colotrace_proto.notices import Notice

from scenario import wire
from scenario.probe import Probe, dissect
from scenario.sides_world import RATE, SECRET
from scenario.virtual import decode


class Name(NamedTuple):
    """A probe."""

    target: bytes
    number: int
    ttl: int
    earlier: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a probe that is to be sent: an errno, or the kernel's stamp."""

    error: int = 0
    # 0: none comes. 1: as it was handed over. -1: it cannot be right. 2: it comes late.
    stamp: int = 1


@dataclass(slots=True)
class Seen:
    """What is seen of a trace from outside."""

    sent: list[int]
    replies: list[Reply]
    reached: bool
    end_ttl: int
    counters: Counters
    unplaced: int
    send_errors: dict[int, int]
    clock_stepped: bool
    overflows: int
    unstamped: int
    undeparted: list[Name]
    ended: int | None
    limiting: list[int] = field(default_factory=list)
    notices: tuple[Notice, ...] = ()
    outcome: Outcome | None = None


class Totals(NamedTuple):
    """What an engine counts over all traces."""

    foreign: int
    late: int
    overflows: int
    unstamped: int
    counted: Counters


@dataclass
class Side:
    """What both sides know of their probes."""

    _sent: dict[Name, tuple[Flow, int]] = field(default_factory=dict)
    traces: dict[bytes, int] = field(default_factory=dict)
    """Traces to each target so far."""
    _ordinals: dict[tuple[bytes, int, int], Name] = field(default_factory=dict)
    _counts: dict[tuple[bytes, int, int], int] = field(default_factory=dict)

    def named(self, flow: Flow, ordinal: int, ttl: int) -> Name:
        """The probe's name, by which its `packet` is had."""
        number = self.traces[flow.target]
        earlier = self._counts.get((flow.target, number, ttl), 0)
        self._counts[flow.target, number, ttl] = earlier + 1
        name = Name(flow.target, number, ttl, earlier)
        self._ordinals[flow.target, number, ordinal] = name
        self._sent[name] = flow, ordinal
        return name

    def packet(self, name: Name) -> Probe:
        """The probe as it was sent."""
        flow, ordinal = self._sent[name]
        packet = bytes(writer_for(flow).write(ordinal, name.ttl))
        if packet[0] >> 4 == 4:
            packet = wire.with_header_checksum(packet[:20]) + packet[20:]
        probe = dissect(packet)
        assert isinstance(probe, Probe)
        return probe

    def names_of(self, target: bytes, ordinals: Iterable[int]) -> list[Name]:
        """The names of these probes of the target's last trace."""
        number = self.traces[target]
        return sorted(self._ordinals[target, number, ordinal] for ordinal in ordinals)


def totals(engine: Engine | BulkEngine) -> Totals:
    """What the engine has counted."""
    return Totals(engine.foreign, engine.late, engine.overflows, engine.unstamped, engine.counted)


def assert_same(single: Mapping[bytes, Seen], bulk: Mapping[bytes, Seen]) -> None:
    """Both engines have the same traces, in the same state."""
    assert single.keys() == bulk.keys()
    for target, one in single.items():
        other = bulk[target]
        assert {
            field.name: (getattr(one, field.name), getattr(other, field.name))
            for field in fields(Seen)
            if getattr(one, field.name) != getattr(other, field.name)
        } == {}


def _seen(trace: Trace | TraceView, undeparted: list[Name]) -> Seen:
    return Seen(
        sent=list(trace.sent),
        # The engines may send probes of the same time in another order, so ordinals differ.
        replies=sorted(reply._replace(ordinal=0) for reply in trace.replies),
        reached=trace.reached,
        end_ttl=trace.end_ttl,
        counters=Counters(
            trace.counters.duplicates,
            trace.counters.late,
            trace.counters.foreign,
            trace.counters.ambiguous,
        ),
        unplaced=trace.caveats.unplaced,
        send_errors=dict(trace.caveats.send_errors),
        clock_stepped=trace.caveats.clock_stepped,
        overflows=trace.caveats.overflows,
        unstamped=trace.caveats.unstamped,
        undeparted=undeparted,
        ended=trace.ended or None,
    )


def _ended(trace: Trace | TraceView, seen: Seen) -> Seen:
    seen.limiting = list(trace.caveats.limiting)
    seen.notices = trace.notices
    frame = Report(JobId("1")).final(trace, Failure.NONE)
    seen.outcome = frame.outcome
    return seen


class SingleSide(Side):
    """`engine.engine.Engine`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self._live: dict[bytes, Trace] = {}
        self._late_stamps: list[tuple[ProbeToSend, int]] = []

    def start(self, spec: TraceSpec, source: bytes, *, now: int) -> None:
        """Begins a trace."""
        flow = self.engine.identities.allocate(spec, source, reserve=lambda _: True, now=now)
        self.traces[spec.target] = self.traces.get(spec.target, 0) + 1
        self._live[spec.target] = self.engine.start(spec, flow, now=now)

    def send(
        self, fate: Fate, ttls: frozenset[int], *, now: int, turns: int | None = None
    ) -> list[Name]:
        """Send all probes that may leave now, or those of so many turns. Probes of `ttls` have that
        fate."""
        names = []
        while turns != 0 and (probes := self.engine.poll(now, most=64)):
            turns = turns and turns - 1
            for probe in probes:
                names.append(self.named(probe.flow, probe.ordinal, probe.ttl))
                its = fate if probe.ttl in ttls else Fate()
                if its.error:
                    self.engine.failed(probe, its.error)
                    continue
                self.engine.sent(probe, at=now)
                if its.stamp > 1:
                    self._late_stamps.append((probe, now))
                elif its.stamp:
                    self.engine.departed(probe, at=now if its.stamp > 0 else None)
        return sorted(names)

    def stamp(self) -> None:
        """The late stamps come."""
        for probe, at in self._late_stamps:
            self.engine.departed(probe, at=at)
        self._late_stamps.clear()

    def hear(self, packets: Sequence[bytes], *, at: int, now: int) -> None:
        """Packets that came in."""
        for packet in packets:
            heard = decode(packet)
            if not isinstance(heard, Unheard):
                self.engine.heard(heard, at=at, read_at=now)

    def seen(self) -> dict[bytes, Seen]:
        """What is seen of the traces under way."""
        return {target: self._seen(trace) for target, trace in self._live.items()}

    def _seen(self, trace: Trace) -> Seen:
        return _seen(trace, self.names_of(trace.target, trace.undeparted()))

    def expire(self, now: int) -> dict[bytes, Seen]:
        """What has ended."""
        self.engine.expire(now)
        return self._over()

    def stop(self, now: int) -> dict[bytes, Seen]:
        """Ends all with what there is."""
        for trace in list(self._live.values()):
            self.engine.stop(trace, now=now)
        return self._over()

    def _over(self) -> dict[bytes, Seen]:
        self.engine.changed.clear()
        over = [trace for trace in self._live.values() if trace.ended is not None]
        for trace in over:
            self.engine.judge_limits(trace)
            del self._live[trace.target]
        return {trace.target: _ended(trace, self._seen(trace)) for trace in over}


class BulkSide(Side):
    """`bulk.engine.BulkEngine`."""

    def __init__(self, engine: BulkEngine) -> None:
        super().__init__()
        self.engine = engine
        self._live: dict[bytes, TraceView] = {}
        self._flows: dict[tuple[Group, int], Flow] = {}
        self._late_stamps: list[tuple[Group, Numbers, int]] = []

    def start(self, spec: TraceSpec, source: bytes, *, now: int) -> None:
        """Begins a trace."""
        assert self.engine.startable([spec.target])
        flows, free = self.engine.allocate(
            rows_of([spec.target]), rows_of([source]), reserve=lambda _: True, now=now
        )
        assert free.all()
        self.traces[spec.target] = self.traces.get(spec.target, 0) + 1
        group, (number,) = self.engine.start(flows, now=now)
        self._flows[group, int(number)] = flows.flow(0)
        self._live[spec.target] = TraceView(group.columns, int(number))

    def send(
        self, fate: Fate, ttls: frozenset[int], *, now: int, turns: int | None = None
    ) -> list[Name]:
        """As `SingleSide.send`."""
        names = []
        while turns != 0 and (batches := self.engine.poll(now, most=64)):
            turns = turns and turns - 1
            for group, due in batches:
                names += self._send(group, due, fate, ttls, now=now)
        return sorted(names)

    def _send(
        self, group: Group, due: Due, fate: Fate, ttls: frozenset[int], *, now: int
    ) -> list[Name]:
        names = [
            self.named(self._flows[group, line], ordinal, ttl)
            for line, ordinal, ttl in zip(*(column.tolist() for column in due), strict=True)
        ]
        ours = np.isin(due.ttls, list(ttls))
        left = np.ones(len(ours), np.bool_)
        if fate.error:
            for row in np.nonzero(ours)[0].tolist():
                group.sending.failed(int(due.lines[row]), int(due.ordinals[row]), fate.error)
            left = ~ours
        sent = Due(*(column[left] for column in due))
        group.sending.sent(sent, at=np.full(len(sent.lines), now))
        ours = ours[left]
        stamped = ~ours | (fate.stamp in {1, -1})
        if fate.stamp > 1 and ours.any():
            late = group.columns.tickets(sent.lines[ours], sent.ordinals[ours])
            self._late_stamps.append((group, late, now))
        tickets = group.columns.tickets(sent.lines[stamped], sent.ordinals[stamped])
        if len(tickets):
            right = ~ours[stamped] | (fate.stamp > 0)
            group.hearing.stamps(tickets, np.full(len(tickets), now), right)
        return names

    def stamp(self) -> None:
        """As `SingleSide.stamp`."""
        for group, tickets, at in self._late_stamps:
            group.hearing.stamps(
                tickets, np.full(len(tickets), at), np.ones(len(tickets), np.bool_)
            )
        self._late_stamps.clear()

    def hear(self, packets: Sequence[bytes], *, at: int, now: int) -> None:
        """Packets that came in: ICMP by the batch, as a raw socket gives it."""
        four = packets[0][0] >> 4 == 4
        icmp = packets[0][9 if four else 6] == (wire.ICMP if four else wire.ICMP6)
        odd: Sequence[int] = range(len(packets))
        if icmp:
            skip = 0 if four else 40
            rows = np.full((len(packets), 2_048), 0xA5, np.uint8)
            for row, packet in enumerate(packets):
                rows[row, : len(packet) - skip] = np.frombuffer(packet[skip:], np.uint8)
            sources = [packet[8:24] for packet in packets]
            senders = np.frombuffer(b"".join(sources), np.uint8).reshape(len(packets), 16)
            (family,) = {flow.family for flow in self._flows.values()} or {None}
            if family is not None:
                odd = self.engine.heard_batch(
                    family,
                    rows,
                    np.array([len(packet) - skip for packet in packets]),
                    senders,
                    at=np.full(len(packets), at),
                    read_at=now,
                )
        for row in odd:
            heard = decode(packets[row])
            if not isinstance(heard, Unheard):
                self.engine.heard(heard, at=at, read_at=now)

    def seen(self) -> dict[bytes, Seen]:
        """What is seen of the traces under way."""
        return {target: self._seen(line) for target, line in self._live.items()}

    def _seen(self, line: TraceView) -> Seen:
        undeparted = line.columns.undeparted(np.array([line.number])).get(line.number, [])
        return _seen(line, self.names_of(line.target, undeparted))

    def expire(self, now: int) -> dict[bytes, Seen]:
        """What has ended."""
        return self._over(self.engine.expire(now), now)

    def stop(self, now: int) -> dict[bytes, Seen]:
        """Ends all with what there is."""
        return self._over(self.engine.stop(now), now)

    def _over(self, ended: list[Ended], now: int) -> dict[bytes, Seen]:
        over = {}
        for each in ended:
            self.engine.judge_limits(each, now)
            for number in each.numbers.tolist():
                line = each.line(number)
                del self._live[line.target]
                over[line.target] = _ended(line, self._seen(line))
            self.engine.told(each, now)
        return over


def both_sides(
    spec: TraceSpec, *, rate: float | None = RATE, routers: Callable[[], Routers] = Routers
) -> tuple[SingleSide, BulkSide]:
    """Both engines with the same settings; each has routers of its own. `spec` is that of all
    traces but for their targets. `rate=None`: the budgets of production."""
    return (
        SingleSide(Engine(rate=rate, secret=SECRET, routers=routers())),
        BulkSide(BulkEngine(spec, rate=rate, secret=SECRET, routers=routers())),
    )
