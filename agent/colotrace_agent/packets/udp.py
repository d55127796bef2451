"""UDP datagrams to a port where nothing listens.

A probe's number is the checksum: it lies in the first 8 bytes, which every router quotes, and no
load balancer hashes it. The first two bytes of the payload are set so that the wanted checksum
is the right one. The flow's is the source port; both ports stay the same for all probes.
"""

import struct

from colotrace_agent.engine.identity import number_of
from colotrace_agent.model import Flow

from .checksum import MODULUS
from .probe import Writer

PROTOCOL = 17

_CHECKSUM = 6


class UdpWriter(Writer):
    """Writes datagrams."""

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow, protocol=PROTOCOL)

    def write_flow(self, packet: bytearray) -> None:
        struct.pack_into("!HH", packet, self.transport, self.flow.identifier, self.flow.port)

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        wanted = number_of(self.flow, ordinal)
        steering = -(wanted + self.fixed_sum + self.pseudo_sum) % MODULUS
        struct.pack_into("!HH", packet, self.transport + _CHECKSUM, wanted, steering)
