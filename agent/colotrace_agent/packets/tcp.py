"""TCP SYNs.

A probe's number is the sequence number: it lies in the first 8 bytes, which every router quotes.
The target acknowledges the next number (RFC 9293 section 3.5.2), some stacks the number itself,
so consecutive probes lie `TCP_SPACING` apart. Numbers ascend in the order of sending: a host takes
a lower one on the same four-tuple for an old packet and challenges it (RFC 9293 section
3.10.7.4). The flow's identifier is the source port.
"""

import struct

from colotrace_agent.engine.matching import number_of
from colotrace_agent.model import Flow

from .checksum import MODULUS, checksum
from .probe import Writer

PROTOCOL = 6

SYN, RST, ACK = 0x02, 0x04, 0x10
FLAGS = 0x3F
"""All of them but ECN's."""
_SEQUENCE, _CHECKSUM = 4, 16


class TcpWriter(Writer):
    """Writes SYNs."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow, protocol=PROTOCOL)

    def write_flow(self, packet: bytearray) -> None:
        struct.pack_into("!HH", packet, self.transport, self.flow.identifier, self.flow.port)

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        sequence = number_of(self.flow, ordinal)
        total = self.fixed_sum + self.pseudo_sum + sequence % MODULUS
        struct.pack_into("!I", packet, self.transport + _SEQUENCE, sequence)
        struct.pack_into("!H", packet, self.transport + _CHECKSUM, checksum(total))
