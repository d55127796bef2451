"""The writer for each packet type."""

from colotrace_proto.messages import PacketType

from colotrace_agent.model import Flow

from .gre import GreWriter
from .icmp import IcmpWriter
from .probe import Writer
from .tcp import TcpWriter
from .udp import UdpWriter

_WRITERS: dict[PacketType, type[IcmpWriter | UdpWriter | TcpWriter | GreWriter]] = {
    PacketType.ICMP: IcmpWriter,
    PacketType.UDP: UdpWriter,
    PacketType.TCP: TcpWriter,
    PacketType.GRE: GreWriter,
}
PACKET_TYPES = frozenset(_WRITERS)
"""What probes can be built of."""


def writer_for(flow: Flow) -> Writer:
    """A writer of the flow's probes."""
    return _WRITERS[flow.packet_type](flow)
