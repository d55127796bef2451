"""UDP datagrams to a port where nothing listens.

A probe's number is the checksum: it lies in the first 8 bytes, which every router quotes, and no
load balancer hashes it. The steering in the payload makes the wanted checksum the right one. The
flow's is the source port; both ports stay the same for all probes.
"""

import struct

from colotrace_agent.engine.matching import number_of
from colotrace_agent.model import Flow

from .checksum import MODULUS, ones_sum
from .probe import Writer

PROTOCOL = 17

_FIELDS = struct.Struct("!HH8s")
_CHECKSUM = 6


class UdpWriter(Writer):
    """Writes datagrams."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow, protocol=PROTOCOL)

    def write_flow(self, packet: bytearray) -> None:
        struct.pack_into("!HH", packet, self.transport, self.flow.identifier, self.flow.port)

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        wanted, tag = number_of(self.flow, ordinal), self.flow.marks.tag(ordinal)
        steering = -(wanted + self.fixed_sum + self.pseudo_sum + ones_sum(tag)) % MODULUS
        _FIELDS.pack_into(packet, self.transport + _CHECKSUM, wanted, steering, tag)
