"""Which flow each trace gets, and which probe an answer is for.

One allocator serves the whole agent. No two traces share a flow while either is alive or an
answer to it may still be under way. Within a flow, probes are numbered in the order they leave.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator

from colotrace_proto.messages import MAX_WAIT_MS, PacketType

from colotrace_agent.model import Flow, FlowKey, Heard, TraceSpec

# Below what Linux gives out by itself (32768 and up), so that the host's own connections and
# ours never want the same port, and a kernel filter can tell them apart by range.
PORTS = range(20_000, 32_768)
_IDENTIFIERS = range(1, 65_536)

_DEFAULT_PORT = {PacketType.UDP: 33_434, PacketType.TCP: 80}

# How long after its trace a flow stays taken: longer than any answer is waited for, and than
# packets live in practice.
QUARANTINE_NS = 4 * MAX_WAIT_MS * 1_000_000
_ATTEMPTS = 4096
_SHARED_PORTS = 64

_NUMBERS = {PacketType.ICMP: 1 << 16, PacketType.UDP: 0xFFFE, PacketType.TCP: 1 << 32}
_IP_IDS = 0xFFFF
_IP_ID_STEP = 3


class NoFlowLeftError(Exception):
    """All flows to that target are taken."""


def number_of(flow: Flow, index: int) -> int:
    """Probe `index`'s own number: what ICMP and TCP carry as sequence, UDP as checksum.

    UDP's runs from 1 to 0xfffe: 0 on the wire means that there is no checksum (RFC 768), and
    0xffff is what a computed 0 is sent as.
    """
    if flow.packet_type is PacketType.UDP:
        return (flow.first_number - 1 + index) % 0xFFFE + 1
    return (flow.first_number + index) % _NUMBERS[flow.packet_type]


def ip_id_of(flow: Flow, index: int) -> int:
    """Probe `index`'s IPv4 identification: never 0, which would leave it to the kernel.

    Three apart, so that one which a router quotes one too high or too low is still this probe's.
    """
    return (flow.first_ip_id - 1 + _IP_ID_STEP * index) % _IP_IDS + 1


def index_of(flow: Flow, heard: Heard, count: int) -> int | None:
    """Which of the flow's first `count` probes the answer is for; None if it says none, or no
    probe of the flow.

    The probe's own number decides. UDP's is a checksum, which address translation changes: by as
    much as the quoted source differs from ours. Where the number is missing, the IPv4
    identification decides, however routers quote it; where it was garbled, as it was sent.
    """
    number = heard.number
    if number is None:
        return _index_by_ip_id(flow, heard.ip_id, count)
    if flow.packet_type is not PacketType.UDP:
        return _index_by_number(flow, number, count)
    found = _index_by_number(flow, _untranslated(flow, heard.source, number), count)
    if found is None:
        found = _index_by_sent_ip_id(flow, heard.ip_id, count)
    return found if found is not None else _index_by_number(flow, number, count)


def _index_by_number(flow: Flow, number: int, count: int) -> int | None:
    offset = (number - flow.first_number) % _NUMBERS[flow.packet_type]
    # One number that is no probe's, 0xffff for UDP, has the remainder of another that is.
    return offset if offset < count and number_of(flow, offset) == number else None


def _untranslated(flow: Flow, source: bytes | None, checksum: int) -> int:
    """The checksum before a translator put `source` for ours (RFC 1624), 1 to 0xffff."""
    if source is None or source == flow.source:
        return checksum
    change = int.from_bytes(source, "big") - int.from_bytes(flow.source, "big")
    return (checksum + change) % 0xFFFF or 0xFFFF


def _index_by_sent_ip_id(flow: Flow, ip_id: int | None, count: int) -> int | None:
    index, off_by = divmod(((ip_id or 0) - flow.first_ip_id) % _IP_IDS, _IP_ID_STEP)
    return index if ip_id and not off_by and index < count else None


def _index_by_ip_id(flow: Flow, ip_id: int | None, count: int) -> int | None:
    if not ip_id:  # some routers clear it
        return None
    swapped = (ip_id & 0xFF) << 8 | ip_id >> 8
    for as_sent in (ip_id, swapped, ip_id - 1, ip_id + 1):
        index = _index_by_sent_ip_id(flow, as_sent, count)
        if index is not None:
            return index
    return None


class Identities:
    """The flows that are taken."""

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw = draw
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
        icmp = spec.packet_type is PacketType.ICMP
        port = 0 if icmp else spec.port or _DEFAULT_PORT[spec.packet_type]
        for identifier in _candidates(spec, _IDENTIFIERS if icmp else PORTS):
            key = FlowKey(spec.packet_type, spec.target, identifier, port)
            if key in self._taken or key in self._released:
                continue
            if not icmp and not reserve(identifier):
                continue
            self._taken.add(key)
            first = self._draw(_NUMBERS[spec.packet_type])
            if spec.packet_type is PacketType.UDP:
                first += 1
            return Flow(
                packet_type=spec.packet_type,
                source=source,
                target=spec.target,
                identifier=identifier,
                port=port,
                first_number=spec.port if icmp and spec.port else first,
                first_ip_id=1 + self._draw(_IP_IDS),
            )
        raise NoFlowLeftError("too many traces to this target are under way")

    def release(self, flow: Flow, now: int) -> None:
        """The trace has ended; its flow stays taken until no answer can be under way."""
        self._taken.discard(flow.key)
        self._released[flow.key] = now + QUARANTINE_NS

    def is_released(self, key: FlowKey) -> bool:
        """Whether an ended trace had that flow not long ago: an answer to it is late."""
        return key in self._released

    def _forget(self, now: int) -> None:
        while self._released:
            key, until = next(iter(self._released.items()))
            if until > now:
                return
            del self._released[key]


def _candidates(spec: TraceSpec, space: range) -> Iterator[int]:
    seed = spec.target + spec.flow.to_bytes(8, "big")
    start = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big")
    if space is PORTS:
        # A port costs a socket: traces to different targets share a few.
        start %= _SHARED_PORTS
    for attempt in range(min(_ATTEMPTS, len(space))):
        yield space[(start + attempt) % len(space)]
