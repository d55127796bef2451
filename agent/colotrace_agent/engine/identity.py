"""Allocates flows to traces.

The agent has one allocator. No two traces share a flow while both run. A trace that follows another
one to the same target gets the same flow, so that the two can be compared. There is one exception:
a late answer to the first could be taken for one to the second; see `told_apart`.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator

from colotrace_proto.messages import MAX_WAIT_MS, FlowFields

from colotrace_agent.errors import AgentError
from colotrace_agent.marks import Marks
from colotrace_agent.model import Flow, FlowKey, TraceSpec
from colotrace_agent.packets.formats import FORMATS, keys_of

# Quarantine of a flow after its trace, if traces are not told apart: exceeds the time that answers
# are awaited, and that packets live in practice.
QUARANTINE_NS = 4 * MAX_WAIT_MS * 1_000_000
_ATTEMPTS = 4096
SHARED_PORTS = 64


def drawn_beside(spec: TraceSpec, flow_secret: bytes) -> bytes:
    """The bytes that are hashed after the target, to the 64 bits that `candidates` takes."""
    if FORMATS[spec.packet_type].ports:
        return flow_secret
    return spec.flow.to_bytes(8, "big") + flow_secret


def candidates(spec: TraceSpec, drawn: int) -> Iterator[int]:
    """The identifiers to try, in this order, for a flow whose target has the hash `drawn`."""
    kind = FORMATS[spec.packet_type]
    space = kind.identifiers
    # A port costs a socket: traces to different targets share a few, flows have their own.
    start = drawn % SHARED_PORTS + spec.flow if kind.ports else drawn
    for attempt in range(min(_ATTEMPTS, len(space))):
        yield space[(start + attempt) % len(space)]


def told_apart(spec: TraceSpec) -> bool:
    """Whether answers to one trace can't be taken for answers to the next one on the same flow.

    Answers show the number and 14 keyed bits at least, or TCP's 32-bit number, which are drawn anew
    for each trace. Not if the numbers are given by the request, nor for GRE, of which an answer may
    show 16 keyed bits alone.
    """
    kind = FORMATS[spec.packet_type]
    return kind.number_quoted and not (spec.port and not kind.ports)


def port_of(spec: TraceSpec) -> int:
    """The destination port; 0 if the packet type has none."""
    ports = FORMATS[spec.packet_type].ports
    return spec.port or ports.default if ports else 0


def first_number(spec: TraceSpec, base: int) -> int:
    """The number of probe 0, from 32 random bits. Types without ports take it from `port`."""
    kind = FORMATS[spec.packet_type]
    return kind.numbering.first(base if kind.ports else spec.port or base)


def header_fields(spec: TraceSpec, flow: Flow) -> FlowFields:
    """The header fields that the flow's probes share. Probes over IPv6 have the flow label 0."""
    has_ports = FORMATS[flow.packet_type].ports is not None
    return FlowFields(
        packet_type=flow.packet_type,
        number=spec.flow,
        source_port=flow.identifier if has_ports else 0,
        destination_port=flow.port,
        identifier=0 if has_ports else flow.identifier,
    )


class NoFlowLeftError(AgentError):
    """All flows to the target are taken."""


class Identities:
    """The flows in use, and those that are quarantined after use."""

    def __init__(self, *, secret: bytes | None = None, flow_secret: bytes = b"") -> None:
        """`secret` keys the marks and belongs to this process. `flow_secret` selects the flows: the
        same secret selects the same flows again."""
        self._secret = secret or secrets.token_bytes(32)
        self._flow_secret = flow_secret
        self._serial = 0
        # The flow number of the trace that has the flow, or had it last; and until when its answers
        # may come.
        self._taken: dict[FlowKey, int] = {}
        self._released: OrderedDict[FlowKey, tuple[int, int]] = OrderedDict()

    def allocate(
        self, spec: TraceSpec, source: bytes, *, reserve: Callable[[int], bool], now: int
    ) -> Flow:
        """Allocates a flow for a trace that is sent from `source`.

        The same target and flow number get the same fields again, unless another trace has them, or
        had them and is not told apart. `reserve`
        takes a source port and returns whether the agent may use it.

        Raises:
            NoFlowLeftError: too many traces to that target are under way.
        """
        self._forget(now)
        port = port_of(spec)
        seed = spec.target + drawn_beside(spec, self._flow_secret)
        drawn = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big")
        apart = told_apart(spec)
        for identifier in candidates(spec, drawn):
            keys = keys_of(FlowKey(spec.packet_type, spec.target, identifier, port))
            if not self._taken.keys().isdisjoint(keys):
                continue
            # Flows of other numbers stay different, also one after the other: a multipath job
            # counts them.
            earlier = [self._released[key][1] for key in keys if key in self._released]
            if earlier and not (apart and set(earlier) == {spec.flow}):
                continue
            if FORMATS[spec.packet_type].ports and not reserve(identifier):
                continue
            for key in keys:
                self._taken[key] = spec.flow
                self._released.pop(key, None)
            self._serial += 1
            context = self._serial.to_bytes(8, "big")
            probes = spec.max_ttl * spec.packets_per_ttl
            marks = Marks.draw(self._secret, context, probes=probes)
            return Flow(
                packet_type=spec.packet_type,
                source=source,
                target=spec.target,
                identifier=identifier,
                port=port,
                first_number=first_number(spec, marks.base),
                marks=marks,
            )
        raise NoFlowLeftError

    def release(self, flow: Flow, now: int) -> None:
        """Quarantines the flow of a trace that has ended, until no answer can arrive."""
        for key in keys_of(flow.key):
            self._released[key] = now + QUARANTINE_NS, self._taken.pop(key, 0)

    def is_released(self, key: FlowKey, now: int) -> bool:
        """Whether the flow is quarantined, so that an answer to it is late."""
        return self._released.get(key, (0, 0))[0] > now

    def _forget(self, now: int) -> None:
        while self._released:
            key, (until, _) = next(iter(self._released.items()))
            if until > now:
                return
            del self._released[key]
