"""Finds the trace that an answer belongs to.

Most answers name their whole flow. If a translator changed the probe and did not change the quote
back, one side is intact: the target's address and port, or ours. A target that answers from another
of its addresses still names our side. Then the trace is the one whose keyed fields verify. A tag is
long enough to find it even if both sides were changed.
"""

from collections.abc import Iterable, Iterator

from colotrace_proto.messages import PacketType

from colotrace_agent.model import AnswerKind, FlowKey, Heard
from colotrace_agent.packets.formats import keys_of

from .limits.budget import Bucket, Budget
from .trace import Trace

SEARCH_RATE, SEARCH_BURST = 100_000, 20_000
"""Bound of the search for answers that name no whole flow, in traces a second: anybody can send
such answers. To check a trace takes 1 to 2 us. Searches of all traces have a separate budget."""

_Side = tuple[PacketType, bytes | int]


class Lookup:
    """Running traces, indexed by the fields that answers show."""

    def __init__(self) -> None:
        self._by_key: dict[FlowKey, Trace] = {}
        # By target, and by identifier or source port. Dictionaries keep the order.
        self._by_side: dict[_Side, dict[Trace, None]] = {}
        self._budget = Budget(Bucket(SEARCH_RATE, SEARCH_BURST))
        self._tag_budget = Budget(Bucket(SEARCH_RATE, SEARCH_BURST))

    def __len__(self) -> int:
        """The number of keys; a trace may have several."""
        return len(self._by_key)

    def __iter__(self) -> Iterator[Trace]:
        return iter(dict.fromkeys(self._by_key.values()))

    def add(self, trace: Trace) -> None:
        """Enters a trace."""
        for key in keys_of(trace.flow.key):
            self._by_key[key] = trace
            for side in _sides(key):
                self._by_side.setdefault(side, {})[trace] = None

    def remove(self, trace: Trace) -> bool:
        """Removes a trace; returns whether it was entered."""
        if self._by_key.get(trace.flow.key) is not trace:
            return False
        for key in keys_of(trace.flow.key):
            self._by_key.pop(key, None)
            for side in _sides(key):
                traces = self._by_side.get(side, {})
                traces.pop(trace, None)
                if not traces:
                    self._by_side.pop(side, None)
        return True

    def of(self, key: FlowKey) -> Trace | None:
        """The trace with this flow."""
        return self._by_key.get(key)

    def to(self, target: bytes) -> Iterator[Trace]:
        """The traces to this target; some occur twice."""
        for packet_type in PacketType:
            yield from self._by_side.get((packet_type, target), ())

    def find(self, heard: Heard, now: int) -> Trace | None:
        """The trace that an answer belongs to; None if there is none or it is ambiguous."""
        trace = self._by_key.get(heard.key)
        if trace is not None or not self._budget.available(now):
            return trace
        key = heard.key
        near = self._by_side.get((key.packet_type, key.identifier), {})
        if heard.source is None:
            return self._verified(heard, near) or _only(heard, near)
        far = self._by_side.get((key.packet_type, key.target), {})
        found = self._verified(heard, [trace for trace in far if trace.flow.port == key.port])
        if found is None:
            own = [trace for trace in near if trace.flow.source == heard.source]
            found = self._verified(heard, own)
        if found is None and heard.tag is not None and self._tag_budget.available(now):
            found = self._tagged(heard, heard.tag)
        return found

    def _verified(self, heard: Heard, traces: Iterable[Trace]) -> Trace | None:
        for trace in traces:
            self._budget.spend(1)
            if trace.verifies(heard):
                return trace
        return None

    def _tagged(self, heard: Heard, tag: bytes) -> Trace | None:
        """Searches all traces for a probe with this tag, for answers with both sides changed."""
        self._tag_budget.spend(len(self._by_key))
        packet_type = heard.key.packet_type
        for key, trace in self._by_key.items():
            if key.packet_type is packet_type and trace.flow.marks.find(tag) is not None:
                return trace if trace.verifies(heard) else None
        return None


def _sides(key: FlowKey) -> tuple[_Side, _Side]:
    return (key.packet_type, key.target), (key.packet_type, key.identifier)


def _only(heard: Heard, near: dict[Trace, None]) -> Trace | None:
    """The only trace that a datagram from another address can belong to. It quotes nothing, but its
    port is reserved by the agent."""
    if heard.kind is not AnswerKind.DATAGRAM or len(near) != 1:
        return None
    (trace,) = near
    return trace if trace.flow.port == heard.key.port else None
