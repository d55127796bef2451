"""TCP SYNs.

The sequence number identifies a probe: it lies in the first 8 bytes, which every router quotes. The
target acknowledges the next number (RFC 9293 section 3.5.2), some stacks the number itself, so
consecutive probes are `TCP_SPACING` apart. Numbers ascend in the order of sending: a host treats a
lower one on the same four-tuple as an old packet and challenges it (RFC 9293 section 3.10.7.4). The
source port identifies the flow.
"""

import socket
import struct
from collections.abc import Collection

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import PORTS, AnswerKind, FlowKey, Heard, Unheard

from . import bpf
from .checksum import MODULUS, checksum
from .format import Columns, Numbering, Ports, ProbeFormat, Quoted, Tap
from .probe import Writer

PROTOCOL = 6

TCP_SPACING = 56
"""Between the sequence numbers of a flow's consecutive probes.

Stacks acknowledge a SYN by its own number, by the next one, or by the one behind bytes that they
mistake for its data: options, padding, a header. None of these may equal another probe's number or
the next, so no header or packet length is near a multiple of this. All numbers of a trace
stay within the window of a common listener (64,240), which challenges a SYN beyond it.
"""
NUMBERING = Numbering(1 << 32, step=TCP_SPACING)

SYN, RST, ACK = 0x02, 0x04, 0x10
FLAGS = 0x3F
"""All flags except ECN's."""
_SEQUENCE, _FLAGS, _CHECKSUM = 4, 13, 16
_PORTS = struct.Struct("!HH")


class TcpWriter(Writer):
    """Writes SYNs."""

    def write_flow(self, packet: bytearray) -> None:
        _PORTS.pack_into(packet, self.transport, self.flow.identifier, self.flow.port)

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        sequence = NUMBERING.number(self.flow.first_number, ordinal)
        total = self.fixed_sum + self.pseudo_sum + sequence % MODULUS
        struct.pack_into("!I", packet, self.transport + _SEQUENCE, sequence)
        struct.pack_into("!H", packet, self.transport + _CHECKSUM, checksum(total))


def quoted_syn(transport: bytes, family: Family) -> Quoted:  # noqa: ARG001 - the same in both
    """Identity of a quoted SYN."""
    identifier, port = _PORTS.unpack_from(transport)
    return Quoted(identifier, port, int.from_bytes(transport[4:8], "big"))


def decode_tcp_segment(segment: bytes, responder: bytes) -> Heard | Unheard:
    """Reads a TCP segment without its IP header.

    The TCP checksum is not verified: packets from a virtual interface leave it to the hardware.
    The acknowledgement number distinguishes answers from noise.
    """
    if len(segment) < 20:
        return Unheard.MALFORMED
    port, identifier, _, acknowledged, _, flags = struct.unpack_from("!HHIIBB", segment)
    key = FlowKey(PacketType.TCP, responder, identifier, port)
    if flags & FLAGS == ACK:
        # A challenge to a SYN, which acknowledges data of an earlier connection (RFC 5961
        # section 4): the target is up, but the segment names no probe.
        return Heard(AnswerKind.CHALLENGE, responder, key, None)
    # A SYN-ACK or a reset answers a SYN.
    if not (flags & RST or (flags & SYN and flags & ACK)):
        return Unheard.NOT_OURS
    # Some firewalls set the acknowledgement number of a reset without the flag.
    number = acknowledged if flags & ACK or acknowledged else None
    return Heard(AnswerKind.TCP, responder, key, number)


def tcp_answers(*, ip_header: bool, ports: Collection[int] = PORTS) -> list[bpf.Instruction]:
    """Filter that keeps resets, SYN-ACKs and bare ACKs to these ports."""
    load_byte = bpf.LD_BYTE_BEHIND if ip_header else bpf.LD_BYTE_AT
    program = [
        *bpf.to_ports(ports, ip_header=ip_header),
        (load_byte, 0, 0, _FLAGS),
        (bpf.JUMP_ANY_BIT, 4, 0, RST),
        (bpf.AND, 0, 0, FLAGS),
        (bpf.JUMP_EQUAL, 2, 0, ACK),
        (bpf.AND, 0, 0, SYN | ACK),
        (bpf.JUMP_EQUAL, 0, bpf.DROP, SYN | ACK),
    ]
    return bpf.with_drops(program)


_COLUMNS = Columns(
    number=slice(4, 8), payload=None, checksum=slice(16, 18), identifier=slice(0, 2),
    port=slice(2, 4),
)  # fmt: skip
FORMAT = ProbeFormat(
    packet_type=PacketType.TCP,
    protocols=dict.fromkeys(Family, PROTOCOL),
    writer=TcpWriter,
    quoted=quoted_syn,
    numbering=NUMBERING,
    identifiers=PORTS,
    columns=dict.fromkeys(Family, _COLUMNS),
    ports=Ports(80, socket.SOCK_STREAM),
    tap=Tap(decode_tcp_segment, tcp_answers),
    number_suffices=True,
)
