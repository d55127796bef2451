"""Whose trace an answer belongs to.

Most answers name their flow whole. Of a probe that a translator changed and did not change back,
one side is as it left: the target's address and port, or our own. A target that answers from
another of its addresses still names our side. Then what verifies under the secret decides; with a
tag, which is long enough for that, whatever was changed.
"""

from collections.abc import Iterable, Iterator

from colotrace_proto.messages import PacketType

from colotrace_agent.model import AnswerKind, FlowKey, Heard
from colotrace_agent.packets.formats import keys_of

from .limits.budget import Budget
from .trace import Trace

SEARCH_RATE, SEARCH_BURST = 100_000, 20_000
"""How many traces are looked at, a second, for answers that name none whole: strangers could send
such answers. A look takes a microsecond or two. Looks at all traces have a budget of their own."""

_Side = tuple[PacketType, bytes | int]


class Lookup:
    """The traces under way, by what answers tell of them."""

    def __init__(self) -> None:
        self._by_key: dict[FlowKey, Trace] = {}
        # By target, and by identifier or source port; dictionaries for their order.
        self._by_side: dict[_Side, dict[Trace, None]] = {}
        self._budget = Budget(rate=SEARCH_RATE, burst=SEARCH_BURST)
        self._tag_budget = Budget(rate=SEARCH_RATE, burst=SEARCH_BURST)

    def __len__(self) -> int:
        """Keys, of which a trace may have several."""
        return len(self._by_key)

    def __iter__(self) -> Iterator[Trace]:
        return iter(dict.fromkeys(self._by_key.values()))

    def add(self, trace: Trace) -> None:
        """The trace has begun."""
        for key in keys_of(trace.flow.key):
            self._by_key[key] = trace
            for side in _sides(key):
                self._by_side.setdefault(side, {})[trace] = None

    def remove(self, trace: Trace) -> bool:
        """The trace has ended; whether it was known."""
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
        """The trace of that flow."""
        return self._by_key.get(key)

    def to(self, target: bytes) -> Iterator[Trace]:
        """The traces to that target, some of them twice."""
        for packet_type in PacketType:
            yield from self._by_side.get((packet_type, target), ())

    def find(self, heard: Heard, now: int) -> Trace | None:
        """The trace that an answer belongs to, None where it belongs to none or cannot be told."""
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
        """The trace one of whose probes has that tag, of all: both sides were changed."""
        self._tag_budget.spend(len(self._by_key))
        packet_type = heard.key.packet_type
        for key, trace in self._by_key.items():
            if key.packet_type is packet_type and trace.flow.marks.find(tag) is not None:
                return trace if trace.verifies(heard) else None
        return None


def _sides(key: FlowKey) -> tuple[_Side, _Side]:
    return (key.packet_type, key.target), (key.packet_type, key.identifier)


def _only(heard: Heard, near: dict[Trace, None]) -> Trace | None:
    """The one trace that a datagram from another address can belong to: it quotes nothing. (Its
    port is one that nobody but the agent has.)"""
    if heard.kind is not AnswerKind.DATAGRAM or len(near) != 1:
        return None
    (trace,) = near
    return trace if trace.flow.port == heard.key.port else None
