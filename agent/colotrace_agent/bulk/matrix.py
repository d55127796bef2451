"""Writes probes of many flows at once, as rows of a numpy matrix, like `packets.probe` one flow's.

All flows have the same packet type and family, so their packets have the same length, and a field
is a column. The fields that a flow's probes share are written into its line once, when it begins.
"""

import numpy as np
import numpy.typing as npt
from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import Flow, Ordinal, Ttl
from colotrace_agent.packets.checksum import MODULUS, ones_sum
from colotrace_agent.packets.format import Columns
from colotrace_agent.packets.formats import FORMATS, writer_for
from colotrace_agent.packets.payload import TAG_AT
from colotrace_agent.packets.template import IP_HEADERS, template

from .arrays import Bytes, Flags, Lines, Numbers
from .flows import Flows

_MOST_BASES = 64
_V4_ID, _V4_TTL = 4, 8
_V6_HOP_LIMIT = 7


class MatrixWriter:
    """Writes probes of the flows in its lines."""

    def __init__(self, packet_type: PacketType, family: Family, *, lines: int) -> None:
        self._ipv4 = family is Family.IPV4
        self._transport = IP_HEADERS[family]
        self._format = FORMATS[packet_type]
        self._columns = self._format.columns[family]
        self._packets: Bytes = np.zeros((lines, len(template(packet_type, family))), np.uint8)
        # Minus the ones' complement sum of the fields that all probes of a flow share.
        self._rest = np.zeros(lines, np.int64)
        self._first = np.zeros(lines, np.int64)
        self._bases: dict[tuple[bytes, int], _Base] = {}

    def begin(self, lines: Lines, flows: Flows) -> None:
        """Assigns flows to lines."""
        self._first[lines] = flows.first_numbers
        if self._format.inner is not None:
            self._rest[lines] = 0
            for row, line in enumerate(lines.tolist()):
                packet = writer_for(flows.flow(row)).write(Ordinal(0), Ttl(0))
                self._packets[line] = np.frombuffer(packet, np.uint8)
            return
        sources, which = flows.sources[:1], np.zeros(len(lines), np.intp)
        if (flows.sources != sources).any():
            sources, which = np.unique(flows.sources, axis=0, return_inverse=True)
        for number, source in enumerate(sources):
            mask = which == number
            base = self._base_of(flows, source.tobytes(), int(np.argmax(mask)))
            self._packets[lines[mask]], self._rest[lines[mask]] = base.packets_of(flows, mask)

    def _base_of(self, flows: Flows, source: bytes, row: int) -> "_Base":
        base = self._bases.get((source, flows.port))
        if base is None:
            if len(self._bases) >= _MOST_BASES:
                self._bases.clear()
            base = _Base(flows.flow(row), self._columns, transport=self._transport)
            self._bases[source, flows.port] = base
        return base

    def write(
        self, lines: Lines, ordinals: Lines, ttls: Lines, *,
        tags: Bytes, ip_ids: npt.NDArray[np.uint16],
    ) -> Bytes:  # fmt: skip
        """Packets, one a row, for these lines; each with the ordinal, TTL, tag and IPv4
        identification of its row."""
        packets = self._packets[lines]
        if self._ipv4:
            packets[:, _V4_TTL] = ttls
            packets[:, _V4_ID : _V4_ID + 2] = _big_endian(ip_ids, 2)
        else:
            packets[:, _V6_HOP_LIMIT] = ttls
        number = self._format.numbering.number(self._first[lines], ordinals)
        rest, columns, at = self._rest[lines] - number, self._columns, self._transport
        if columns.payload is None:
            _put(packets, at, columns.checksum, rest % MODULUS)
        else:
            steering = _big_endian((rest - _ones_sum(tags)) % MODULUS, TAG_AT)
            at_tag = at + columns.payload + TAG_AT
            packets[:, at_tag - TAG_AT : at_tag] = steering
            packets[:, at_tag : at_tag + tags.shape[1]] = tags
        _put(packets, at, columns.number, number)
        return packets


class _Base:
    """The packet of one flow, from which mask of other flows with the same source and port derive.

    They differ in target and identifier. Ones' complement sums are linear, so that only the
    difference is summed.
    """

    def __init__(self, flow: Flow, columns: Columns, *, transport: int) -> None:
        writer = writer_for(flow)
        self._packet = np.frombuffer(bytes(writer.write(Ordinal(0), Ttl(0))), np.uint8)
        self._columns, self._transport = columns, transport
        # An echo request's checksum is the same for all probes of a flow.
        self._echo = FORMATS[flow.packet_type].steering is not None
        # ICMPv4 is summed without the addresses.
        self._addressed = not self._echo or flow.family is Family.IPV6
        self._sum = writer.fixed_sum - flow.identifier
        if self._addressed:
            self._sum += writer.pseudo_sum - ones_sum(flow.target)

    def packets_of(self, flows: Flows, rows: Flags) -> tuple[Bytes, Numbers]:
        """A packet of each of these flows, and minus the sum of the fields its probes share."""
        targets, identifiers = flows.targets[rows], flows.identifiers[rows]
        packets = np.repeat(self._packet[None, :], len(targets), axis=0)
        packets[:, self._transport - targets.shape[1] : self._transport] = targets
        _put(packets, self._transport, self._columns.identifier, identifiers)
        total = self._sum + identifiers
        if self._addressed:
            total += _ones_sum(targets)
        if self._echo:
            _put(packets, self._transport, self._columns.checksum, -total % MODULUS)
            return packets, np.zeros(len(total), np.int64)
        return packets, -total


def _put(packets: Bytes, start: int, column: slice, numbers: Numbers) -> None:
    at, end = start + column.start, start + column.stop
    packets[:, at:end] = _big_endian(numbers, end - at)


def _ones_sum(tags: Bytes) -> Numbers:
    words = np.ascontiguousarray(tags).view(">u2").astype(np.int64)
    total: Numbers = words.sum(axis=1) % MODULUS
    return total


def _big_endian(numbers: npt.NDArray[np.integer], size: int) -> Bytes:
    wide = np.ascontiguousarray(numbers).astype(">u2" if size == 2 else ">u4")
    return wide.view(np.uint8).reshape(len(numbers), size)
