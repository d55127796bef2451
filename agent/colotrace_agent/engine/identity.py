"""Which flow each trace gets.

One allocator serves the whole agent. No two traces share a flow while either is alive or an
answer to it may still be under way.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator

from colotrace_proto.messages import MAX_WAIT_MS

from colotrace_agent.errors import AgentError
from colotrace_agent.marks import Marks
from colotrace_agent.model import Flow, FlowKey, TraceSpec
from colotrace_agent.packets.formats import FORMATS, keys_of

# How long a flow stays taken after its trace: longer than any answer is waited for, and than
# packets live in practice.
QUARANTINE_NS = 4 * MAX_WAIT_MS * 1_000_000
_ATTEMPTS = 4096
SHARED_PORTS = 64


def drawn_beside(spec: TraceSpec, flow_secret: bytes) -> bytes:
    """What is hashed behind the target, to 64 bits, for `candidates`."""
    if FORMATS[spec.packet_type].ports:
        return flow_secret
    return spec.flow.to_bytes(8, "big") + flow_secret


def candidates(spec: TraceSpec, drawn: int) -> Iterator[int]:
    """Identifiers to try, in this order, for a flow whose target's hash is that."""
    kind = FORMATS[spec.packet_type]
    space = kind.identifiers
    # A port costs a socket: traces to different targets share a few, flows have their own.
    start = drawn % SHARED_PORTS + spec.flow if kind.ports else drawn
    for attempt in range(min(_ATTEMPTS, len(space))):
        yield space[(start + attempt) % len(space)]


def port_of(spec: TraceSpec) -> int:
    """The destination port; 0 if the packet type has none."""
    ports = FORMATS[spec.packet_type].ports
    return spec.port or ports.default if ports else 0


def first_number(spec: TraceSpec, base: int) -> int:
    """The number of probe 0, from 32 random bits. Types without ports take it from `port`."""
    kind = FORMATS[spec.packet_type]
    return kind.numbering.first(base if kind.ports else spec.port or base)


class NoFlowLeftError(AgentError):
    """All flows to that target are taken."""


class Identities:
    """The flows that are taken."""

    def __init__(self, *, secret: bytes | None = None, flow_secret: bytes = b"") -> None:
        """`secret` keys the marks, and is this process's own; `flow_secret` chooses the flows,
        and kept from run to run has the same flows chosen again."""
        self._secret = secret or secrets.token_bytes(32)
        self._flow_secret = flow_secret
        self._serial = 0
        self._taken: set[FlowKey] = set()
        self._released: OrderedDict[FlowKey, int] = OrderedDict()

    def allocate(
        self, spec: TraceSpec, source: bytes, *, reserve: Callable[[int], bool], now: int
    ) -> Flow:
        """A flow of its own for a trace that leaves from `source`.

        The same target and flow number get the same fields again, as long as they are free.
        `reserve` is asked for each source port, and says whether the agent may have it.

        Raises:
            NoFlowLeftError: too many traces to that target are under way.
        """
        self._forget(now)
        port = port_of(spec)
        for identifier in self._candidates(spec):
            keys = keys_of(FlowKey(spec.packet_type, spec.target, identifier, port))
            if not (self._taken.isdisjoint(keys) and self._released.keys().isdisjoint(keys)):
                continue
            if FORMATS[spec.packet_type].ports and not reserve(identifier):
                continue
            self._taken.update(keys)
            return self._flow(spec, source, identifier=identifier, port=port)
        raise NoFlowLeftError

    def _flow(self, spec: TraceSpec, source: bytes, *, identifier: int, port: int) -> Flow:
        self._serial += 1
        marks = Marks.draw(
            self._secret,
            self._serial.to_bytes(8, "big"),
            probes=spec.max_ttl * spec.packets_per_ttl,
        )
        return Flow(
            packet_type=spec.packet_type,
            source=source,
            target=spec.target,
            identifier=identifier,
            port=port,
            first_number=first_number(spec, marks.base),
            marks=marks,
        )

    def _candidates(self, spec: TraceSpec) -> Iterator[int]:
        seed = spec.target + drawn_beside(spec, self._flow_secret)
        drawn = hashlib.blake2b(seed, digest_size=8)
        yield from candidates(spec, int.from_bytes(drawn.digest(), "big"))

    def release(self, flow: Flow, now: int) -> None:
        """The trace has ended; its flow stays taken until no answer can be under way."""
        for key in keys_of(flow.key):
            self._taken.discard(key)
            self._released[key] = now + QUARANTINE_NS

    def is_released(self, key: FlowKey, now: int) -> bool:
        """Whether an ended trace had that flow not long ago: an answer to it is late."""
        return self._released.get(key, 0) > now

    def _forget(self, now: int) -> None:
        while self._released:
            key, until = next(iter(self._released.items()))
            if until > now:
                return
            del self._released[key]
