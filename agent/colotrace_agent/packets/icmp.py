"""ICMP and ICMPv6 echo requests.

The sequence number identifies a probe, the identifier its flow. Both lie in the first 8 bytes,
which every router quotes (RFC 792, RFC 4443), and the target echoes them with the payload. Load
balancers hash the first words of an ICMP message, including the checksum. So all probes of a flow
have the same checksum, also in later traces: the steering in the payload compensates sequence and
tag.
"""

import struct

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import Flow

from .checksum import MODULUS, checksum
from .format import Columns, Numbering, ProbeFormat, Quoted
from .payload import cut_of, tag_in
from .probe import Writer

PROTOCOL = 1
PROTOCOL_V6 = 58
REQUEST = {Family.IPV4: 8, Family.IPV6: 128}
REPLY = {Family.IPV4: 0, Family.IPV6: 129}
"""Types of echo messages (RFC 792, RFC 4443)."""
NUMBERING = Numbering(1 << 16)
ECHO_HEADER = 8

_FIELDS = struct.Struct("!HH8s")
_CHECKSUM, _IDENTIFIER, _SEQUENCE = 2, 4, 6


def echo_steering(flow: Flow, ordinal: int) -> int:
    """The steering of an echo request, alone or within GRE, 0 to 0xfffe: it compensates sequence
    and tag in the checksum. It is keyed, since the tag is."""
    tag = int.from_bytes(flow.marks.tag(ordinal), "big")
    number = NUMBERING.number(flow.first_number, ordinal)
    return -(number + tag) % MODULUS


class IcmpWriter(Writer):
    """Writes echo requests."""

    def __init__(self, flow: Flow, protocol: int) -> None:
        super().__init__(flow, protocol)
        # Only ICMPv6 has a pseudo header.
        total = self.fixed_sum
        if flow.family is Family.IPV6:
            total += self.pseudo_sum
        struct.pack_into("!H", self._packet, self.transport + _CHECKSUM, checksum(total))

    def write_flow(self, packet: bytearray) -> None:
        struct.pack_into("!H", packet, self.transport + _IDENTIFIER, self.flow.identifier)

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        sequence = NUMBERING.number(self.flow.first_number, ordinal)
        tag, steering = self.flow.marks.tag(ordinal), echo_steering(self.flow, ordinal)
        _FIELDS.pack_into(packet, self.transport + _SEQUENCE, sequence, steering, tag)


_ECHO = struct.Struct("!4xHH")


def quoted_echo(transport: bytes, family: Family) -> Quoted | None:
    """Identity of a quoted echo request; None for other messages."""
    if transport[0] != REQUEST[family] or transport[1]:
        return None
    identifier, number = _ECHO.unpack_from(transport)
    payload = transport[ECHO_HEADER:]
    return Quoted(identifier, 0, number, tag_in(payload), cut_of(payload))


_COLUMNS = Columns(
    number=slice(6, 8), payload=ECHO_HEADER, checksum=slice(2, 4), identifier=slice(4, 6)
)
FORMAT = ProbeFormat(
    packet_type=PacketType.ICMP,
    protocols={Family.IPV4: PROTOCOL, Family.IPV6: PROTOCOL_V6},
    writer=IcmpWriter,
    quoted=quoted_echo,
    numbering=NUMBERING,
    identifiers=range(1, 1 << 16),
    columns=dict.fromkeys(Family, _COLUMNS),
    steering=echo_steering,
)
