"""Several traces to one target as one: the flows of a multipath job, the types of gre+icmp.

A trace is added when it has ended, and only up to its own end, because only then is it known which
probes went beyond. The sum has the shape of one trace (`Traced` in `job/frames.py`).
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from colotrace_proto.messages import MAX_JOB_PROBES, Edge, FlowFields, NodeKind, PacketType
from colotrace_proto.notices import Notice
from msgspec.structs import replace

from colotrace_agent.engine.limits.routers import PROBABLE, chance
from colotrace_agent.engine.notices import Caveats
from colotrace_agent.engine.trace import Trace
from colotrace_agent.labels import answered_type
from colotrace_agent.model import Counters, Reply, TraceSpec

from .multipath import PACKETS, Multipath, Sight


class _Limits:
    """Hops that limit the rate of their answers, judged by all traces of one packet type.

    One trace is not enough: of hundreds, loss on the return path makes each hop look limited in
    some. So a hop beyond must have lost nothing in any trace that it answered, and must have
    answered as many traces. A hop of a longer branch does not count for the other branches.
    """

    def __init__(self) -> None:
        self._judged: set[int] = set()
        self._traces: Counter[int] = Counter()
        self._asked: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()

    def add(self, trace: Trace) -> None:
        """Add an ended trace, unless the host dropped packets during it."""
        if trace.caveats.overflows:
            return
        self._judged.update(trace.caveats.limiting)
        for ttl in range(1, trace.end_ttl + 1):
            if trace.answers[ttl - 1]:
                self._traces[ttl] += 1
                self._asked[ttl] += trace.sent[ttl - 1]
                self._lost[ttl] += trace.sent[ttl - 1] - trace.answers[ttl - 1]

    def ttls(self) -> set[int]:
        """The TTLs of these hops."""
        found: set[int] = set()
        sent = lost = 0  # beyond
        for ttl in sorted(self._traces, reverse=True):
            missing, asked = self._lost[ttl], self._asked[ttl]
            usual = (lost + 1) / (sent + 2)
            limits = ttl in self._judged or chance(missing, of=asked, each=usual) < PROBABLE
            if limits and self._witnessed(ttl):
                found.add(ttl)
                continue
            sent += asked
            lost += missing
        return found

    def _witnessed(self, ttl: int) -> bool:
        return any(
            beyond > ttl and not self._lost[beyond] and traces >= self._traces[ttl]
            for beyond, traces in self._traces.items()
        )


@dataclasses.dataclass(slots=True)
class _Strand:
    """The traces of one packet type."""

    spec: TraceSpec
    label: str
    plan: Multipath | None
    begun: int = 0
    under_way: int = 0
    closed: bool = False
    overflows: int = 0
    # The highest count of a trace of the present wave. Packets that the host drops are counted for
    # all running traces, so the last trace of a wave has counted all of them.
    wave_overflows: int = 0
    limits: _Limits = dataclasses.field(default_factory=_Limits)

    def wanted(self) -> int:
        """How many traces to begin now; 0 while others of this type are running."""
        return 0 if self.closed or self.under_way else self.missing()

    def missing(self) -> int:
        """How many traces the next wave has."""
        if self.plan is not None:
            return self.plan.wanted()
        return 0 if self.begun else 1

    def took(self, trace: Trace) -> None:
        """One of its traces has ended."""
        self.under_way -= 1
        self.limits.add(trace)
        self.wave_overflows = max(self.wave_overflows, trace.caveats.overflows)
        if not self.under_way:
            self.overflows += self.wave_overflows
            self.wave_overflows = 0


class Several:
    """Traces to one target, and their sum.

    Verbs: `due` (traces to begin now), then for each `begun` or `missed`, and `took`, until `done`.
    `specs` has one entry for each packet type. If there are several, labels tell which answered.
    """

    def __init__(self, specs: Sequence[TraceSpec], *, multipath: bool) -> None:
        self.target = specs[0].target
        """The target's packed address."""
        self.started = 0
        self.ended: int | None = None
        self.sent = [0] * specs[0].max_ttl
        self.replies: list[Reply] = []
        self.source = b""
        """The packed source address of its probes; b"" until a trace has begun."""
        self.flows: list[FlowFields] = []
        """Header fields of each flow, in the order of `Reply.flow`."""
        self.counters = Counters()
        self.caveats = Caveats()
        self.reached = False
        # Ended traces that other flows may still show to have met a firewall, and the nodes that
        # answered "time exceeded" to any flow.
        self._doubtful: list[Trace] = []
        self._forwarders: set[bytes] = set()
        self._missed: list[Notice] = []
        self._why_stopped: Notice | None = None
        self._strands = {
            spec.packet_type: _Strand(
                spec,
                label=answered_type(spec.packet_type) if len(specs) > 1 else "",
                plan=Multipath(max_ttl=spec.max_ttl, max_probes=MAX_JOB_PROBES // len(specs))
                if multipath
                else None,
            )
            for spec in specs
        }

    def due(self) -> list[TraceSpec]:
        """Traces to begin now."""
        return [spec for strand in self._strands.values() for spec in _next(strand)]

    def begun(self, trace: Trace) -> None:
        """A trace that was due has begun."""
        self._strands[trace.spec.packet_type].under_way += 1
        self.source = trace.source
        self.started = min(self.started or trace.started, trace.started)

    def missed(self, spec: TraceSpec, cause: Notice) -> None:
        """A trace that was due could not begin. No more of its type will be due."""
        self._strands[spec.packet_type].closed = True
        if cause not in self._missed:
            self._missed.append(cause)

    def took(self, trace: Trace) -> None:
        """A trace has ended."""
        strand = self._strands[trace.spec.packet_type]
        strand.took(trace)
        self._forwarders.update(
            reply.address for reply in trace.replies if reply.kind is NodeKind.TRANSIT
        )
        trace.settle(self._forwarders)
        if trace.is_doubtful:
            self._doubtful.append(trace)
        else:
            self._add(trace)
        # The types are under way side by side, from the same moment on.
        self.caveats.overflows = max(each.overflows for each in self._strands.values())
        if strand.plan is not None:
            strand.plan.saw(_sight(trace))
        if trace.ended is not None:
            self.ended = max(self.ended or 0, trace.ended)

    def settle(self) -> None:
        """Add the traces that waited for answers of other flows. Call it once all have ended."""
        for trace in self._doubtful:
            trace.settle(self._forwarders)
            self._add(trace)
        self._doubtful.clear()

    def _add(self, trace: Trace) -> None:
        """Add a trace's probes and replies up to its end."""
        self.counters.add(trace.counters)
        self.caveats.add(trace.caveats)
        end = trace.end_ttl
        for ttl in range(1, end + 1):
            self.sent[ttl - 1] += trace.sent[ttl - 1]
        label = self._strands[trace.spec.packet_type].label
        index = len(self.flows)
        self.flows += trace.flows
        self.replies += [
            reply._replace(labels=(label, *reply.labels) if label else reply.labels, flow=index)
            for reply in trace.replies
            if reply.ttl <= end
        ]
        self.reached = self.reached or trace.reached

    def stop(self, cause: Notice | None = None) -> None:
        """Begin no more traces. `cause` becomes a notice if more would have been due."""
        self._why_stopped = self._why_stopped or cause
        for strand in self._strands.values():
            strand.closed = True

    @property
    def done(self) -> bool:
        """Whether no trace is running or due."""
        return not any(strand.under_way or strand.wanted() for strand in self._strands.values())

    @property
    def links(self) -> tuple[Edge, ...]:
        """The links of all flows, by TTL."""
        plans = [strand.plan for strand in self._strands.values() if strand.plan is not None]
        if len(plans) == 1:
            return plans[0].links()
        flows: Counter[tuple[int, bytes, bytes]] = Counter()
        for plan in plans:
            for link in plan.links():
                flows[link.ttl, link.near, link.far] += link.flows
        return tuple(Edge(*ends, count) for ends, count in sorted(flows.items()))

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What to tell beside the row, each kind once for all traces."""
        found = list(self._missed)
        if self._why_stopped and any(strand.missing() for strand in self._strands.values()):
            found.append(self._why_stopped)
        for strand in self._strands.values():
            if strand.plan is not None and strand.begun:
                packet_type = strand.spec.packet_type if strand.label else ""
                found += [
                    replace(notice, packet_type=packet_type) for notice in strand.plan.notices()
                ]
        limits = set[int]().union(*(strand.limits.ttls() for strand in self._strands.values()))
        caveats = dataclasses.replace(self.caveats, limiting=limits)
        return (*found, *caveats.notices(reached=self.reached))


def specs_of(spec: TraceSpec) -> list[TraceSpec]:
    """One spec for each packet type that is sent."""
    return [dataclasses.replace(spec, packet_type=part) for part in spec.packet_type.parts]


def offered(built: Iterable[PacketType]) -> frozenset[PacketType]:
    """The packet types that jobs may have, if probes of the `built` types can be built."""
    types = frozenset(built)
    return frozenset(each for each in PacketType if types.issuperset(each.parts))


def _next(strand: _Strand) -> list[TraceSpec]:
    first, wanted = strand.begun, strand.wanted()
    strand.begun += wanted
    if strand.plan is None:
        return [strand.spec] * wanted
    one = dataclasses.replace(strand.spec, packets_per_ttl=PACKETS, rounds=True)
    numbers = range(strand.spec.flow + first, strand.spec.flow + first + wanted)
    return [dataclasses.replace(one, flow=number) for number in numbers]


def _sight(trace: Trace) -> Sight:
    answers: dict[int, tuple[bytes, ...]] = {}
    end = trace.end_ttl
    for reply in trace.replies:
        if reply.ttl <= end:
            answers[reply.ttl] = (*answers.get(reply.ttl, ()), reply.address)
    return Sight(trace.flow.key, end, answers, sent=trace.taken)
