"""Packet counters of the agents, summed by colo."""

from colotrace_proto.messages import ColoName, Counters

from colotrace_coordinator.metrics import KINDS, Metrics

from .agents import AgentKey

_MAX_PROCESSES = 10_000


class PacketCounts:
    """Agents report totals since their start; the increase is added to the metric."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # The last totals of each process, also while it is not attached; oldest report first.
        self._totals: dict[AgentKey, Counters] = {}

    def reported(self, colo: ColoName, agent: AgentKey, counters: Counters) -> None:
        """Add what is new in the agent's totals. A report that was overtaken adds nothing."""
        known = self._totals.pop(agent, Counters())
        totals = {}
        for name in KINDS:
            before, after = getattr(known, name), getattr(counters, name)
            totals[name] = max(before, after)
            if after > before:
                self._metrics.packets.labels(colo=colo, kind=name).inc(after - before)
        self._totals[agent] = Counters(**totals)
        if len(self._totals) > _MAX_PROCESSES:
            del self._totals[next(iter(self._totals))]
