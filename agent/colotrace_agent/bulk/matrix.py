"""Probes of many flows at once: what `Writer` writes for one, as rows of a numpy matrix.

All flows have one packet type and one family, so their packets are all as long, and a field is a
column. What a flow's probes share is written into its line once, when it begins.
"""

import numpy as np
import numpy.typing as npt
from colotrace_proto.messages import Family, PacketType

from colotrace_agent.engine.matching import TCP_SPACING
from colotrace_agent.model import Flow
from colotrace_agent.packets.checksum import MODULUS, ones_sum
from colotrace_agent.packets.payload import TAG_AT
from colotrace_agent.packets.template import IPV4_HEADER, IPV6_HEADER, template
from colotrace_agent.packets.writer import writer_for

from .flows import Flows

Matrix = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Lines = npt.NDArray[np.intp]

_MOST_BASES = 64
_V4_ID, _V4_TTL = 4, 8
_V6_HOP_LIMIT = 7
_ECHO_CHECKSUM, _ECHO_IDENTIFIER, _ECHO_SEQUENCE, _ECHO_PAYLOAD = 2, 4, 6, 8
_UDP_CHECKSUM, _UDP_PAYLOAD = 6, 8
_TCP_SEQUENCE, _TCP_CHECKSUM = 4, 16
_GRE_HEADER = 8


class MatrixWriter:
    """Writes probes of the flows that are in its lines."""

    def __init__(self, packet_type: PacketType, family: Family, *, lines: int) -> None:
        self.packet_type = packet_type
        self._ipv4 = family is Family.IPV4
        header = IPV4_HEADER if self._ipv4 else IPV6_HEADER
        self.transport = header
        # Where the echo request begins: GRE has one behind a second IP header.
        self._echo = header + (_GRE_HEADER + header if packet_type is PacketType.GRE else 0)
        self._packets: Matrix = np.zeros((lines, len(template(packet_type, family))), np.uint8)
        # The sum of all that a probe's own fields do not change, one's complement.
        self._fixed = np.zeros(lines, np.int64)
        self._first = np.zeros(lines, np.int64)
        self._bases: dict[tuple[bytes, int], _Base] = {}

    def begin(self, lines: Lines, flows: Flows) -> None:
        """The lines are these flows' from now on."""
        self._first[lines] = flows.first_numbers
        if self.packet_type is PacketType.GRE:
            for row, line in enumerate(lines.tolist()):
                packet = writer_for(flows.flow(row)).write(0, 0)
                self._packets[line] = np.frombuffer(packet, np.uint8)
            return
        sources, which = flows.sources[:1], np.zeros(len(lines), np.intp)
        if (flows.sources != sources).any():
            sources, which = np.unique(flows.sources, axis=0, return_inverse=True)
        for number, source in enumerate(sources):
            those = which == number
            base = self._base_of(flows, source.tobytes(), int(np.argmax(those)))
            self._packets[lines[those]], self._fixed[lines[those]] = base.packets_of(flows, those)

    def _base_of(self, flows: Flows, source: bytes, row: int) -> "_Base":
        base = self._bases.get((source, flows.port))
        if base is None:
            if len(self._bases) >= _MOST_BASES:
                self._bases.clear()
            base = _Base(flows.flow(row), transport=self.transport)
            self._bases[source, flows.port] = base
        return base

    def write(
        self, lines: Lines, ordinals: Lines, ttls: Lines, *,
        tags: Matrix, ip_ids: npt.NDArray[np.uint16],
    ) -> Matrix:  # fmt: skip
        """Whole packets, one a row: of each line the probe of that ordinal with that TTL, that tag
        and that IPv4 identification."""
        packets = self._packets[lines]
        if self._ipv4:
            packets[:, _V4_TTL] = ttls
            packets[:, _V4_ID : _V4_ID + 2] = _big_endian(ip_ids, 2)
        else:
            packets[:, _V6_HOP_LIMIT] = ttls
        first = self._first[lines]
        if self.packet_type is PacketType.TCP:
            sequence = (first + ordinals * TCP_SPACING) % (1 << 32)
            self._write_tcp(packets, sequence, self._fixed[lines])
        elif self.packet_type is PacketType.UDP:
            number = (first - 1 + ordinals) % 0xFFFE + 1
            steering = -(number + self._fixed[lines] + _ones_sum(tags)) % MODULUS
            at = self.transport + _UDP_CHECKSUM
            packets[:, at : at + 2] = _big_endian(number, 2)
            self._write_payload(packets, self.transport + _UDP_PAYLOAD, steering, tags)
        else:
            sequence = (first + ordinals) % (1 << 16)
            steering = (first - sequence - _ones_sum(tags)) % MODULUS
            at = self._echo + _ECHO_SEQUENCE
            packets[:, at : at + 2] = _big_endian(sequence, 2)
            self._write_payload(packets, self._echo + _ECHO_PAYLOAD, steering, tags)
        return packets

    def _write_tcp(self, packets: Matrix, sequence: Numbers, fixed: Numbers) -> None:
        at = self.transport
        packets[:, at + _TCP_SEQUENCE : at + _TCP_SEQUENCE + 4] = _big_endian(sequence, 4)
        total = (fixed + sequence) % MODULUS
        at += _TCP_CHECKSUM
        packets[:, at : at + 2] = _big_endian((MODULUS - total) % MODULUS, 2)

    def _write_payload(self, packets: Matrix, at: int, steering: Numbers, tags: Matrix) -> None:
        packets[:, at : at + TAG_AT] = _big_endian(steering, 2)
        packets[:, at + TAG_AT : at + TAG_AT + tags.shape[1]] = tags


class _Base:
    """What a writer makes of one flow, and how that of another differs: by target and identifier.

    Sums of one's complement are linear, so they are taken once.
    """

    def __init__(self, flow: Flow, *, transport: int) -> None:
        writer = writer_for(flow)
        self._packet = np.frombuffer(bytes(writer.write(0, 0)), np.uint8)
        self._target_at = transport - len(flow.target)
        self._icmp = flow.packet_type is PacketType.ICMP
        self._identifier_at = transport + (_ECHO_IDENTIFIER if self._icmp else 0)
        self._checksum_at = transport + _ECHO_CHECKSUM
        # ICMPv4 is summed without the addresses.
        self._addressed = not self._icmp or flow.family is Family.IPV6
        self._sum = writer.fixed_sum - flow.identifier
        if self._addressed:
            self._sum += writer.pseudo_sum - ones_sum(flow.target)

    def packets_of(self, flows: Flows, those: npt.NDArray[np.bool_]) -> tuple[Matrix, Numbers]:
        """A packet of each of those flows, and the sum of what is the same in all its probes."""
        targets, identifiers = flows.targets[those], flows.identifiers[those]
        packets = np.repeat(self._packet[None, :], len(targets), axis=0)
        packets[:, self._target_at : self._target_at + targets.shape[1]] = targets
        packets[:, self._identifier_at : self._identifier_at + 2] = _big_endian(identifiers, 2)
        total = self._sum + identifiers
        if self._addressed:
            total += _ones_sum(targets)
        if self._icmp:
            checksums = -(total + flows.first_numbers[those]) % MODULUS
            packets[:, self._checksum_at : self._checksum_at + 2] = _big_endian(checksums, 2)
        return packets, total


def _ones_sum(tags: Matrix) -> Numbers:
    words = np.ascontiguousarray(tags).view(">u2").astype(np.int64)
    total: Numbers = words.sum(axis=1) % MODULUS
    return total


def _big_endian(numbers: npt.NDArray[np.integer], size: int) -> Matrix:
    wide = np.ascontiguousarray(numbers).astype(">u2" if size == 2 else ">u4")
    return wide.view(np.uint8).reshape(len(numbers), size)
