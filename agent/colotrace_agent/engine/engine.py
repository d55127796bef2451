"""All traces of an agent: whose turn it is to send, and whose an answer is.

Verbs: `start`, `poll` (probes due now), `sent` / `failed`, `heard`, `expire`, `next_deadline`;
after each, `changed` holds the traces of which there is something new.

Of the packet budget, the job that has sent least so far gets the next few probes, and among
equals the youngest: a short one does not wait for long ones that were there before. What has waited
counts as having sent less, so that ever new ones do not keep it waiting for good.
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
from .limits.spacing import Spacing
from .lookup import Lookup
from .trace import Trace

AGEING = 20
"""How many probes less a job counts as having sent, for each second that it is older."""
_NEAR_ALLOWS = 0  # instead of a time: as soon as the first hops' budget does


class Account:
    """Traces that share one trace's part of the budget: those of one job."""

    __slots__ = ("began", "taken", "traces")

    def __init__(self) -> None:
        self.began = 0
        """When its first trace did; 0 before."""
        self.taken = 0
        """Probes so far."""
        self.traces: list[Trace] = []
        """Those that have probes to send; the first is next."""


_Queue = list[tuple[float, int, Account]]


class Engine:
    """The traces under way. All times are monotonic nanoseconds.

    `rate` replaces the budget of all packets and that of those to the first hops; what one target
    gets stays as it is. `secret` and `flow_secret` are those of `Identities`.
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
        """Packets that look like answers, but to no probe of ours."""
        self.malformed = 0
        """Messages with a wrong checksum that verify for no probe."""
        self.late = 0
        """Answers to traces that have ended."""
        self.overflows = 0
        """Packets that the host had no room for."""
        self.unstamped = 0
        """Answers whose probe's departure the kernel did not stamp."""
        self.counted = Counters()
        """What ended traces have counted."""
        self.changed: set[Trace] = set()
        """Traces with news since the caller last cleared it."""
        self._budget = Budget(shared_bucket(rate or DEFAULT_RATE))
        self._near = Budget(shared_bucket(rate or DEFAULT_NEAR_RATE))
        self._targets: OrderedDict[bytes, Budget] = OrderedDict()
        self.identities = Identities(secret=secret, flow_secret=flow_secret)
        """Allocates the flows for `start`; release those that are not started."""
        self._distances = Distances()
        self._routers = Routers() if routers is None else routers
        self._touched: set[Trace] = set()  # their ends may have moved
        self._spacing: Spacing[Trace] = Spacing(settled=self._touched.add)
        # By TTL, the limits of routers at which a trace's probes are expected to expire.
        self._limits: dict[Trace, dict[int, Limit]] = {}
        self._traces = Lookup()
        # Who has probes to send, by turn, the youngest of equals first: at once; when the first
        # hops' budget allows it. And who waits for a target's budget, by when that does.
        self._sending: _Queue = []
        self._near_sending: _Queue = []
        self._waiting: list[tuple[int, int, Account]] = []
        # Ends as last computed: a heap entry that has become too early only costs another look.
        self._ends: list[tuple[int, int, Trace]] = []
        self._entered: dict[Trace, int] = {}
        self._tie = itertools.count()

    def __len__(self) -> int:
        return len(self._traces)

    def start(
        self, spec: TraceSpec, flow: Flow, *, now: int, account: Account | None = None
    ) -> Trace:
        """Begins a trace; its probes come out of `poll`.

        Traces of one `account` have one trace's part of the budget together.
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
        account = account or Account()
        account.began = account.began or now
        account.traces.append(trace)
        if len(account.traces) == 1:
            self._push(account)
        self._touched.add(trace)
        return trace

    def stop(self, trace: Trace, *, now: int) -> None:
        """Ends a trace early, with what there is."""
        trace.stop(now)
        self._end(trace, now)

    def poll(self, now: int, *, most: int) -> list[Probe]:
        """Probes to send now, each to be reported by `sent` or `failed`.

        At most a few of each trace, so that answers to them can spare further ones.
        """
        while self._waiting and self._waiting[0][0] <= now:
            self._push(heapq.heappop(self._waiting)[2])
        if not (self._sending or self._near_sending) and self._spacing.next_at() is None:
            return []
        allowed = min(self._budget.available(now), most)
        probes: list[Probe] = []
        again: list[Account] = []
        while len(probes) < allowed and (account := self._next_account(now)) is not None:
            before, most_now = len(probes), min(len(probes) + STEP, allowed)
            blocked: list[Trace] = []
            ready_at: list[int] = []
            while account.traces and len(probes) < most_now:
                trace = account.traces.pop(0)
                at = self._take_of(trace, probes, now, most=most_now)
                if at is not None:
                    blocked.append(trace)
                    ready_at.append(at)
                elif trace.unsent and trace.ended is None:
                    account.traces.append(trace)
            account.taken += len(probes) - before
            if account.traces:
                again.append(account)
            elif _NEAR_ALLOWS in ready_at:
                self._push(account, self._near_sending)
            elif blocked:
                heapq.heappush(self._waiting, (min(ready_at), next(self._tie), account))
            account.traces += blocked
        for account in again:
            self._push(account)
        self._take_late(probes, now, most=allowed)
        self._budget.spend(len(probes))
        if not probes:
            # What was spared may have been the last that a trace was waiting for.
            self.expire(now)
        return probes

    def _next_account(self, now: int) -> Account | None:
        """Whose turn it is, taken out of its queue."""
        queue = self._sending
        near = self._near_sending
        if near and (not queue or near[0] < queue[0]) and self._near.available(now):
            queue = near
        return heapq.heappop(queue)[2] if queue else None

    def _take_of(self, trace: Trace, probes: list[Probe], now: int, *, most: int) -> int | None:
        """Takes probes of a trace, until there are so many in all; where a budget is used up, when
        the next may leave: `_NEAR_ALLOWS`, or a time."""
        limits = self._limits.get(trace)
        while trace.ended is None and len(probes) < most and (ttl := trace.next_ttl()) is not None:
            if limits and (limit := limits.get(ttl)) is not None:
                _, earlier = trace.put_off()
                self._spacing.hold(trace, ttl, limit, earlier=earlier, now=now)
                continue
            ready_at = self._polite_at(trace, ttl, now)
            if ready_at is not None:
                return ready_at
            probes.append(Probe(trace.flow, *trace.take()))
        return None

    def _take_late(self, probes: list[Probe], now: int, *, most: int) -> None:
        """Adds what has waited for a router that limits its answers."""

        def ready_at(trace: Trace, ttl: int) -> int:
            at = self._polite_at(trace, ttl, now)
            return self._near.ready_at() if at == _NEAR_ALLOWS else at or now

        late = self._spacing.ready(now, is_full=lambda: len(probes) == most, ready_at=ready_at)
        for trace, ttl in late:
            probes.append(Probe(trace.flow, *trace.take_late(ttl)))

    def _polite_at(self, trace: Trace, ttl: int, now: int) -> int | None:
        """When a probe may leave, as far as its target and the nearest routers go: a time, or
        `_NEAR_ALLOWS`. None says that it may now, and is taken off their budgets."""
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
        """The probe left at that time."""
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
        """The kernel's time stamp of the probe; None if it cannot be right."""
        trace = self._traces.of(probe.flow.key)
        if trace is not None:
            trace.probe_departed(probe.ordinal, at)

    def overflowed(self, packets: int) -> None:
        """The host had no room for that many packets, whosever answers they were."""
        self.overflows += packets
        for trace in self._traces:
            trace.caveats.overflows += packets

    def heard(self, heard: Heard, *, at: int, read_at: int) -> None:
        """A packet arrived at that time, and was read at the other, that may answer a probe."""
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
        """Ends the traces to which nothing more can come."""
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
        """When `poll` or `expire` has something to do; None where only an answer can change that.

        `now` where probes are due already. To be asked after `expire`.
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

    def _push(self, account: Account, queue: _Queue | None = None) -> None:
        queue = self._sending if queue is None else queue
        turn = account.taken + account.began * AGEING / 1e9
        heapq.heappush(queue, (turn, -next(self._tie), account))

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
        """Finds where routers' limits have probably kept answers from an ended trace.

        To be called once the host's own losses are known (`overflowed`): what the host had no room
        for says nothing about routers.
        """
        if not trace.caveats.overflows:
            end = trace.end_ttl
            trace.caveats.limiting = self._routers.judge(
                trace.path, trace.sent[:end], trace.answers[:end],
                target=trace.target, started=trace.started, now=trace.ended or 0,
            )  # fmt: skip

    def _forwarders(self, ended: Trace) -> set[bytes]:
        """Nodes that answered "time exceeded" to other traces under way to the same target."""
        return {
            reply.address
            for trace in self._traces.to(ended.target)
            for reply in trace.replies
            if reply.kind is NodeKind.TRANSIT
        }

    def _forget_targets(self, now: int) -> None:
        """Whose budget is whole again is like a target never traced."""
        while self._targets:
            target, budget = next(iter(self._targets.items()))
            if budget.users or not budget.is_full(now):
                return
            del self._targets[target]
