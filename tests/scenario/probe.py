"""A prober's packet, taken apart as a strict network would: what is wrong is named, not guessed."""

import struct
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from scenario import wire
from scenario.kinds import Protocol

_NUMBERS = {
    wire.ICMP: Protocol.ICMP,
    wire.ICMP6: Protocol.ICMP,
    wire.UDP: Protocol.UDP,
    wire.TCP: Protocol.TCP,
    wire.GRE: Protocol.GRE,
}
# A key and nothing else is present, version 0 (RFC 2890).
GRE_KEYED = 0x2000
GRE_HEADER = struct.Struct("!HHI")
SYN, RST, ACK = 0x02, 0x04, 0x10


class Fault(StrEnum):
    """Why a packet is no probe."""

    MALFORMED = "malformed"
    WRONG_CHECKSUM = "wrong-checksum"
    # Well-formed, but nothing that a tracer sends: neighbour discovery, a listener report.
    UNRELATED = "unrelated"


@dataclass(frozen=True)
class Probe:
    """One probe. `packet` is the whole of it, `header_length` where its transport begins.

    What each hop asks for again is read once: a suite has millions of hops.
    """

    packet: bytes
    header_length: int
    protocol: Protocol

    @cached_property
    def family(self) -> int:
        """4 or 6."""
        return self.packet[0] >> 4

    @cached_property
    def source(self) -> bytes:
        """The packed source address."""
        return self.packet[12:16] if self.family == 4 else self.packet[8:24]

    @cached_property
    def destination(self) -> bytes:
        """The packed destination address."""
        return self.packet[16:20] if self.family == 4 else self.packet[24:40]

    @cached_property
    def ttl(self) -> int:
        """The TTL or hop limit as sent."""
        return self.packet[8] if self.family == 4 else self.packet[7]

    @cached_property
    def transport(self) -> bytes:
        """Everything after the IP header."""
        return self.packet[self.header_length :]

    @property
    def ports(self) -> tuple[int, int]:
        """Source and destination port of a datagram or segment."""
        source, destination = struct.unpack_from("!HH", self.packet, self.header_length)
        return source, destination

    @property
    def sequence(self) -> int:
        """The sequence number of a segment."""
        (number,) = struct.unpack_from("!I", self.packet, self.header_length + 4)
        return int(number)

    @property
    def tcp_flags(self) -> int:
        """The flags of a segment."""
        return self.packet[self.header_length + 13]

    @cached_property
    def inner(self) -> "Probe":
        """The echo request within a GRE packet."""
        found = dissect(self.transport[GRE_HEADER.size :])
        assert isinstance(found, Probe)
        return found

    @cached_property
    def flow(self) -> bytes:
        """The bytes that routers hash to choose among equal paths.

        Addresses, protocol, and the ports or ICMP's type, code, checksum and identifier (the
        classic Paris set); in IPv6 the flow label too (RFC 6438). Of a GRE packet its key, and the
        same of what it carries.
        """
        label = b"" if self.family == 4 else (int.from_bytes(self.packet[:4]) & 0xFFFFF).to_bytes(3)
        if self.protocol is Protocol.GRE:
            fields = self.transport[: GRE_HEADER.size] + self.inner.flow
        else:
            fields = self.transport[: 6 if self.protocol is Protocol.ICMP else 4]
        return self.source + self.destination + self.protocol.encode() + label + fields


def dissect(packet: bytes) -> Probe | Fault:
    """Take one packet apart, verifying every length and checksum in it."""
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _dissect4(packet)
    if version == 6:
        return _dissect6(packet)
    return Fault.MALFORMED


def _dissect4(packet: bytes) -> Probe | Fault:
    if len(packet) < 20:
        return Fault.MALFORMED
    header_length = (packet[0] & 15) * 4
    total, fragment, number = (
        int.from_bytes(packet[2:4]),
        int.from_bytes(packet[6:8]) & 0x3FFF,
        packet[9],
    )
    if header_length < 20 or total != len(packet) or header_length > total or fragment:
        return Fault.MALFORMED
    if wire.checksum(packet[:header_length]):
        return Fault.WRONG_CHECKSUM
    if number == wire.ICMP6:
        return Fault.UNRELATED
    return _transport(packet, header_length, number=number)


def _dissect6(packet: bytes) -> Probe | Fault:
    if len(packet) < 40 or int.from_bytes(packet[4:6]) != len(packet) - 40:
        return Fault.MALFORMED
    if packet[6] == wire.ICMP:
        return Fault.UNRELATED
    return _transport(packet, 40, number=packet[6])


def _transport(packet: bytes, header_length: int, *, number: int) -> Probe | Fault:
    protocol = _NUMBERS.get(number)
    if protocol is None:
        return Fault.UNRELATED
    probe = Probe(packet=packet, header_length=header_length, protocol=protocol)
    transport = probe.transport
    if len(transport) < (20 if protocol is Protocol.TCP else 8):
        return Fault.MALFORMED
    if protocol is Protocol.GRE:
        return _gre(probe)
    if protocol is Protocol.UDP:
        if int.from_bytes(transport[4:6]) != len(transport):
            return Fault.MALFORMED
        # Legal in IPv4, where it says "not computed", but then nothing is protected: a tracer
        # that means to be believed computes it, and sends a computed 0 as 0xffff (RFC 768).
        if transport[6:8] == b"\0\0":
            return Fault.WRONG_CHECKSUM
    covered = transport
    if number != wire.ICMP:
        covered = (
            wire.pseudo_header(
                probe.source, probe.destination, protocol=number, length=len(transport)
            )
            + transport
        )
    if wire.checksum(covered):
        return Fault.WRONG_CHECKSUM
    if protocol is Protocol.ICMP and transport[:2] != (b"\x08\0" if number == 1 else b"\x80\0"):
        return Fault.UNRELATED
    if protocol is Protocol.TCP and not probe.tcp_flags & (SYN | RST):
        return Fault.UNRELATED
    return probe


def _gre(probe: Probe) -> Probe | Fault:
    """Verify a GRE packet, which has no checksum of its own: what it carries has."""
    flags, ethertype, _ = GRE_HEADER.unpack_from(probe.transport)
    inner = dissect(probe.transport[GRE_HEADER.size :])
    if isinstance(inner, Fault):
        return inner
    if flags != GRE_KEYED or ethertype != wire.ETHERTYPE[inner.family]:
        return Fault.MALFORMED
    return probe if inner.protocol is Protocol.ICMP else Fault.UNRELATED
