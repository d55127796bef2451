"""All traces of an agent: schedules their probes, and gives each answer to its trace.

Verbs: `start`, `poll` (probes due now), `sent` / `failed`, `heard`, `expire`, `next_deadline`;
after each, `changed` holds the traces that have changed.

Jobs share the packet budgets; `limits.shares` says whose probes leave next. The budget of the first
hops is the scarcer one, so it has a queue of its own.
"""

import heapq
import itertools
from collections import OrderedDict

from colotrace_proto.messages import NodeKind

from colotrace_agent.model import Counters, Flow, Heard, Probe, TraceSpec

from .identity import Identities
from .limits.budget import (
    DEFAULT_NEAR_RATE,
    DEFAULT_RATE,
    NEAR_HOPS,
    STEP,
    TARGET_BUCKET,
    Budget,
    shared_bucket,
)
from .limits.distances import Distances
from .limits.routers import Limit, Routers
from .limits.shares import FairQueue, Share
from .limits.spacing import Spacing
from .lookup import Lookup
from .trace import Trace

_NEAR_ALLOWS = 0  # instead of a time: as soon as the budget of the first hops allows it


class Engine:
    """The running traces. All times are monotonic nanoseconds.

    `rate` replaces the rates of all packets and of packets to the first hops, but not the rate to
    one target. `secret` and `flow_secret` are those of `Identities`.
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        secret: bytes | None = None,
        flow_secret: bytes = b"",
        routers: Routers | None = None,
    ) -> None:
        self.foreign = 0
        """Packets that look like answers, but match no trace."""
        self.malformed = 0
        """Messages with a wrong checksum that match no probe."""
        self.late = 0
        """Answers to traces that have ended."""
        self.overflows = 0
        """Packets that the host's receive queues dropped."""
        self.unstamped = 0
        """Answered probes of ended traces without a kernel time stamp of their departure."""
        self.counted = Counters()
        """The sum of the counters of ended traces."""
        self.changed: set[Trace] = set()
        """Traces that have changed since the caller last cleared it."""
        self._budget = Budget(shared_bucket(rate or DEFAULT_RATE))
        self._near = Budget(shared_bucket(rate or DEFAULT_NEAR_RATE))
        self._targets: OrderedDict[bytes, Budget] = OrderedDict()
        self.identities = Identities(secret=secret, flow_secret=flow_secret)
        """Allocates the flows for `start`; release those that are not started."""
        self._distances = Distances()
        self._routers = Routers() if routers is None else routers
        self._touched: set[Trace] = set()  # whose end must be computed again
        self._spacing: Spacing[Trace] = Spacing(settled=self._touched.add)
        # By trace and TTL, the limits of routers at which probes are expected to expire.
        self._limits: dict[Trace, dict[int, Limit]] = {}
        self._traces = Lookup()
        # Jobs with probes to send: those that may send at once, and those that wait for the budget
        # of the first hops. `_waiting` holds those that wait for a target's budget, by the time at
        # which it allows a probe.
        self._sending: FairQueue[Trace] = FairQueue()
        self._near_sending: FairQueue[Trace] = FairQueue()
        self._waiting: list[tuple[int, int, Share[Trace]]] = []
        # Ends as last computed. A heap entry that has become too early only costs another check.
        self._ends: list[tuple[int, int, Trace]] = []
        self._entered: dict[Trace, int] = {}
        self._tie = itertools.count()

    def __len__(self) -> int:
        return len(self._traces)

    def start(
        self, spec: TraceSpec, flow: Flow, *, now: int, share: Share[Trace] | None = None
    ) -> Trace:
        """Begin a trace; `poll` returns its probes.

        Traces of one job have one `share` of the budgets.
        """
        expected_ttl = self._distances.of(spec, spec.target, now)
        trace = Trace(spec, flow, now=now, expected_ttl=expected_ttl)
        limits = self._routers.limits_of(
            spec.target, max_ttl=spec.max_ttl, distance=expected_ttl, now=now
        )
        if limits:
            self._limits[trace] = limits
        self._traces.add(trace)
        budget = self._targets.get(spec.target)
        if budget is None:
            budget = self._targets[spec.target] = Budget(TARGET_BUCKET)
        budget.users += 1
        self._targets.move_to_end(spec.target)
        share = share or Share()
        share.began = share.began or now
        share.traces.append(trace)
        if len(share.traces) == 1:
            self._sending.push(share)
        self._touched.add(trace)
        return trace

    def stop(self, trace: Trace, *, now: int) -> None:
        """End a trace early, with its answers so far."""
        trace.stop(now)
        self._end(trace, now)

    def poll(self, now: int, *, most: int) -> list[Probe]:
        """Take the probes to send now, at most `most`. Report each by `sent` or `failed`.

        Each trace gets a few at a time, because their answers may make further ones unnecessary.
        """
        while self._waiting and self._waiting[0][0] <= now:
            self._sending.push(heapq.heappop(self._waiting)[2])
        if not (self._sending or self._near_sending) and self._spacing.next_at() is None:
            return []
        allowed = min(self._budget.available(now), most)
        probes: list[Probe] = []
        again: list[Share[Trace]] = []
        while len(probes) < allowed and (queue := self._next_queue(now)) is not None:
            share = queue.pop()
            before, most_now = len(probes), min(len(probes) + STEP, allowed)
            near = queue is self._near_sending
            blocked: list[Trace] = []
            ready_at: list[int] = []
            while share.traces and len(probes) < most_now:
                trace = share.traces.pop(0)
                at = self._take_of(trace, probes, now, most=most_now)
                if at is not None:
                    blocked.append(trace)
                    ready_at.append(at)
                elif trace.unsent and trace.ended is None:
                    share.traces.append(trace)
            self._charge(share, probes[before:], near=near)
            if share.traces:
                again.append(share)
            elif _NEAR_ALLOWS in ready_at:
                self._near_sending.push(share)
            elif blocked:
                heapq.heappush(self._waiting, (min(ready_at), next(self._tie), share))
            share.traces += blocked
        for share in again:
            self._sending.push(share)
        self._take_late(probes, now, most=allowed)
        self._budget.spend(len(probes))
        if not probes:
            # The last probe that a trace waited for may have been spared.
            self.expire(now)
        return probes

    def _next_queue(self, now: int) -> FairQueue[Trace] | None:
        """The queue whose first job has its turn; None if no job may send."""
        sending, near = self._sending, self._near_sending
        if not near or not self._near.available(now):
            return sending or None
        first, nearby = sending.head(), near.head()
        if first is None or nearby is None or sending.key(nearby) <= sending.key(first):
            return near
        return sending

    def _charge(self, share: Share[Trace], probes: list[Probe], *, near: bool) -> None:
        """Count probes of a job; `near` if it has waited for the budget of the first hops."""
        share.taken += len(probes)
        self._sending.spent(share, len(probes))
        if near:
            self._near_sending.spent(share, sum(probe.ttl <= NEAR_HOPS for probe in probes))

    def _take_of(self, trace: Trace, probes: list[Probe], now: int, *, most: int) -> int | None:
        """Take probes of a trace until `probes` has `most`. If a budget is exhausted before, return
        when the next probe may leave: `_NEAR_ALLOWS`, or a time."""
        limits = self._limits.get(trace)
        while trace.ended is None and len(probes) < most and (ttl := trace.next_ttl()) is not None:
            if limits and (limit := limits.get(ttl)) is not None:
                earlier = trace.put_off()
                latest = trace.started + trace.spec.wait_ns
                self._spacing.hold(trace, ttl, limit, earlier=earlier, latest=latest, now=now)
                continue
            ready_at = self._polite_at(trace, ttl, now)
            if ready_at is not None:
                return ready_at
            probes.append(Probe(trace.flow, *trace.take()))
        return None

    def _take_late(self, probes: list[Probe], now: int, *, most: int) -> None:
        """Add the deferred probes whose router and budgets allow them now."""

        def ready_at(trace: Trace, ttl: int) -> int:
            at = self._polite_at(trace, ttl, now)
            return self._near.ready_at() if at == _NEAR_ALLOWS else at or now

        late = self._spacing.ready(now, is_full=lambda: len(probes) == most, ready_at=ready_at)
        for trace, ttl in late:
            probes.append(Probe(trace.flow, *trace.take_late(ttl)))

    def _polite_at(self, trace: Trace, ttl: int, now: int) -> int | None:
        """Spend the budgets of the target and of the first hops on one probe. If one of them is
        exhausted, return when the probe may leave instead: a time, or `_NEAR_ALLOWS`."""
        target = self._targets[trace.spec.target]
        if not target.available(now):
            return target.ready_at()
        if ttl <= NEAR_HOPS:
            if not self._near.available(now):
                return _NEAR_ALLOWS
            self._near.spend(1)
        target.spend(1)
        return None

    def sent(self, probe: Probe, *, at: int) -> None:
        """The probe was sent at that time."""
        trace = self._traces.of(probe.flow.key)
        if trace is not None:
            trace.probe_sent(probe.ordinal, at)
            self._touched.add(trace)

    def failed(self, probe: Probe, error: int) -> None:
        """The probe could not be sent, for that errno."""
        trace = self._traces.of(probe.flow.key)
        if trace is not None:
            trace.probe_failed(probe.ordinal, error)
            self._touched.add(trace)
            self.changed.add(trace)

    def departed(self, probe: Probe, *, at: int | None) -> None:
        """The kernel's time stamp of the probe's departure; None if it is unusable."""
        trace = self._traces.of(probe.flow.key)
        if trace is not None:
            trace.probe_departed(probe.ordinal, at)

    def overflowed(self, packets: int) -> None:
        """The host dropped that many packets; they may have been answers to any trace."""
        self.overflows += packets
        for trace in self._traces:
            trace.caveats.overflows += packets

    def heard(self, heard: Heard, *, at: int, read_at: int) -> None:
        """Take a packet that may answer a probe. It arrived at `at` and was read at `read_at`."""
        trace = self._traces.find(heard, read_at)
        if not heard.intact and not (trace and trace.verifies(heard)):
            self.malformed += 1
            return
        if trace is None:
            if self.identities.is_released(heard.key, read_at):
                self.late += 1
            else:
                self.foreign += 1
            return
        self._touched.add(trace)
        reply = trace.heard(heard, at=at, read_at=read_at)
        if reply is not None:
            self.changed.add(trace)
            if reply.kind is not NodeKind.BARRIER:
                self._routers.passed(trace.path, reply.ttl, reply.address, now=read_at)
                self._routers.count(reply.address, 1, now=read_at)

    def expire(self, now: int) -> None:
        """End the traces that have nothing left to send or to wait for."""
        looked_at = set()
        for trace in self._touched:
            look_at = trace.look_at()
            if trace.ended is not None or (look_at is not None and look_at <= now):
                looked_at.add(trace)
            else:
                self._enter(trace, look_at)
        self._touched.clear()
        while self._ends and self._ends[0][0] <= now:
            at, _, trace = heapq.heappop(self._ends)
            if self._entered.get(trace) == at:
                del self._entered[trace]
                looked_at.add(trace)
        for trace in looked_at:
            if trace.expire(now):
                self._end(trace, now)
            else:
                self._enter(trace, trace.closes_at())

    def _enter(self, trace: Trace, look_at: int | None) -> None:
        entered = self._entered.get(trace)
        if look_at is not None and (entered is None or look_at < entered):
            self._entered[trace] = look_at
            heapq.heappush(self._ends, (look_at, next(self._tie), trace))

    def next_deadline(self, now: int) -> int | None:
        """When `poll` or `expire` has something to do; None if only an answer can change that.

        `now` if probes are due already. Call it after `expire`.
        """
        times = [self._ends[0][0]] if self._ends else []
        budget_at = now if self._budget.available(now) else self._budget.ready_at()
        if self._sending:
            times.append(budget_at)
        if self._near_sending:
            near_at = now if self._near.available(now) else self._near.ready_at()
            times.append(max(budget_at, near_at))
        if self._waiting:
            times.append(max(budget_at, self._waiting[0][0]))
        late_at = self._spacing.next_at()
        if late_at is not None:
            times.append(max(budget_at, late_at))
        return min(times, default=None)

    def _end(self, trace: Trace, now: int) -> None:
        self._entered.pop(trace, None)
        if self._traces.remove(trace):
            self.identities.release(trace.flow, now)
            self.changed.add(trace)
            if trace.is_doubtful:
                trace.settle(self._forwarders(trace))
            if trace.reached:
                self._distances.put(trace.spec, trace.target, trace.end_ttl, now)
            self._limits.pop(trace, None)
            self.counted.add(trace.counters)
            self.unstamped += trace.caveats.unstamped
            self._targets[trace.spec.target].users -= 1
            self._forget_targets(now)

    def judge_limits(self, trace: Trace) -> None:
        """Find the TTLs at which rate limits have probably withheld answers from an ended trace.

        Call it after `overflowed`: packets that the host dropped say nothing about routers.
        """
        if not trace.caveats.overflows:
            end = trace.end_ttl
            trace.caveats.limiting = self._routers.judge(
                trace.path, trace.sent[:end], trace.answers[:end],
                target=trace.target, started=trace.started, now=trace.ended or 0,
            )  # fmt: skip

    def _forwarders(self, ended: Trace) -> set[bytes]:
        """Nodes that answered "time exceeded" to other running traces to the same target."""
        return {
            reply.address
            for trace in self._traces.to(ended.target)
            for reply in trace.replies
            if reply.kind is NodeKind.TRANSIT
        }

    def _forget_targets(self, now: int) -> None:
        """Forget targets whose budget is full again, as that of a new target."""
        while self._targets:
            target, budget = next(iter(self._targets.items()))
            if budget.users or not budget.is_full(now):
                return
            del self._targets[target]
