"""UDP datagrams to a port where nothing listens.

The checksum identifies a probe: it lies in the first 8 bytes, which every router quotes, and no
load balancer hashes it. The steering in the payload makes the wanted checksum valid. The source
port identifies the flow; all its probes have the same ports.
"""

import socket
import struct
from collections.abc import Collection

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import PORTS, AnswerKind, FlowKey, Heard, Unheard

from . import bpf
from .checksum import MODULUS, ones_sum
from .format import Columns, Numbering, Ports, ProbeFormat, Quoted, Tap
from .payload import cut_of, tag_in
from .probe import Writer

PROTOCOL = 17

# 0 on the wire means that there is no checksum (RFC 768), and a computed 0 is sent as 0xffff.
NUMBERING = Numbering(0xFFFE, least=1)

_FIELDS = struct.Struct("!HH8s")
_PORTS = struct.Struct("!HH")
_HEADER, _CHECKSUM = 8, 6


class UdpWriter(Writer):
    """Writes datagrams."""

    def write_flow(self, packet: bytearray) -> None:
        _PORTS.pack_into(packet, self.transport, self.flow.identifier, self.flow.port)

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        wanted = NUMBERING.number(self.flow.first_number, ordinal)
        tag = self.flow.marks.tag(ordinal)
        steering = -(wanted + self.fixed_sum + self.pseudo_sum + ones_sum(tag)) % MODULUS
        _FIELDS.pack_into(packet, self.transport + _CHECKSUM, wanted, steering, tag)


def quoted_datagram(transport: bytes, family: Family) -> Quoted:  # noqa: ARG001 - the same in both
    """Identity of a quoted datagram. A router that cleared the checksum hides the number."""
    identifier, port = _PORTS.unpack_from(transport)
    payload = transport[_HEADER:]
    number = int.from_bytes(transport[6:8], "big") or None
    return Quoted(identifier, port, number, tag_in(payload), cut_of(payload))


def decode_udp_datagram(datagram: bytes, responder: bytes) -> Heard | Unheard:
    """Reads a UDP datagram without its IP header. It quotes nothing and names only the flow. The
    checksum is not verified."""
    if len(datagram) < _HEADER:
        return Unheard.MALFORMED
    port, identifier = _PORTS.unpack_from(datagram)
    key = FlowKey(PacketType.UDP, responder, identifier, port)
    return Heard(AnswerKind.DATAGRAM, responder, key, None)


def udp_answers(*, ip_header: bool, ports: Collection[int] = PORTS) -> list[bpf.Instruction]:
    """Filter that keeps datagrams to these ports."""
    return bpf.with_drops(bpf.to_ports(ports, ip_header=ip_header))


_COLUMNS = Columns(
    number=slice(6, 8), payload=_HEADER, checksum=slice(6, 8), identifier=slice(0, 2),
    port=slice(2, 4),
)  # fmt: skip
FORMAT = ProbeFormat(
    packet_type=PacketType.UDP,
    protocols=dict.fromkeys(Family, PROTOCOL),
    writer=UdpWriter,
    quoted=quoted_datagram,
    numbering=NUMBERING,
    identifiers=PORTS,
    columns=dict.fromkeys(Family, _COLUMNS),
    ports=Ports(33_434, socket.SOCK_DGRAM),
    tap=Tap(decode_udp_datagram, udp_answers),
    number_is_checksum=True,
)
