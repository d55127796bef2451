"""The registered packet types. A new one is a file in this package and an entry here."""

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import Flow, FlowKey

from . import gre, icmp, tcp, udp
from .format import ProbeFormat
from .probe import Writer

FORMATS: dict[PacketType, ProbeFormat] = {
    each.packet_type: each for each in (icmp.FORMAT, udp.FORMAT, tcp.FORMAT, gre.FORMAT)
}
BY_PROTOCOL: dict[tuple[Family, int], ProbeFormat] = {
    (family, each.protocols[family]): each for each in FORMATS.values() for family in Family
}
"""The same by IP protocol number."""
PACKET_TYPES = frozenset(FORMATS)
"""Types of which probes can be built."""
ERRORS = PacketType.ICMP
"""The type whose socket hears ICMP errors about probes of every type."""


def writer_for(flow: Flow) -> Writer:
    """A writer of the flow's probes."""
    form = FORMATS[flow.packet_type]
    return form.writer(flow, form.protocols[flow.family])


def number_of(flow: Flow, ordinal: int) -> int:
    """The number of the flow's probe with that ordinal, as the packet carries it."""
    return FORMATS[flow.packet_type].numbering.number(flow.first_number, ordinal)


def keys_of(key: FlowKey) -> tuple[FlowKey, ...]:
    """All keys by which answers may name a flow: its own, then the inner packet's, if any."""
    inner = FORMATS[key.packet_type].inner
    if inner is None:
        return (key,)
    return key, FlowKey(inner, key.target, key.identifier & 0xFFFF, 0)
