"""What agents count of their packets, added up for all of a colo."""

from dataclasses import fields

from colotrace_proto.messages import ColoName, Counters

from colotrace_coordinator.metrics import Metrics

from .agents import AgentKey

_MOST = 10_000


class PacketCounts:
    """Agents tell what they have counted since their start: what is new of it is added."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # What each process has told, also while it is not attached.
        self._known: dict[AgentKey, Counters] = {}

    def told(self, colo: ColoName, agent: AgentKey, counters: Counters) -> None:
        """The agent's present counts."""
        known = self._known.pop(agent, Counters())
        most = {}
        for each in fields(Counters):
            before, after = getattr(known, each.name), getattr(counters, each.name)
            most[each.name] = max(before, after)  # what was said first may come last
            if after > before:
                self._metrics.packets.labels(colo=colo, kind=each.name).inc(after - before)
        self._known[agent] = Counters(**most)
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
