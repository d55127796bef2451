"""The host between the wire and the agent: what its kernel drops, and which socket gets the rest.

By raw(7) and RFC 1122 section 3.2.1: a raw IPv4 socket gets whole datagrams whose header is right,
cut to the length that the header says; an IPv6 one what is behind the header. No checksum of what
they carry is looked at: the agent's ICMPv6 socket has that turned off.
"""

from colotrace_agent.model import Heard, Unheard
from colotrace_agent.packets.decode import decode
from colotrace_agent.packets.formats import BY_PROTOCOL
from colotrace_proto.messages import Family
from scenario import wire


def protocol_of(packet: bytes) -> int:
    """Return the protocol number of a packet, which chooses the socket."""
    return packet[9] if packet[0] >> 4 == 4 else packet[6]


def admitted(packet: bytes, *, protocol: int, address: bytes) -> bytes | None:
    """Return the packet as far as it gets to that protocol's socket at that address, or None."""
    if len(address) == 4:
        return _admitted4(packet, protocol=protocol, address=address)
    return _admitted6(packet, protocol=protocol, address=address)


def decoded(packet: bytes, *, protocol: int, family: int) -> Heard | Unheard:
    """Return what the agent's decoder for that socket makes of it, admitted or not."""
    ip = Family.IPV4 if family == 4 else Family.IPV6
    kind = BY_PROTOCOL[ip, protocol].packet_type
    if family == 4:
        return decode(ip, kind, packet)
    return decode(ip, kind, packet[40:], packet[8:24])


def _admitted4(packet: bytes, *, protocol: int, address: bytes) -> bytes | None:
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    header, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4])
    if not 20 <= header <= total <= len(packet) or wire.checksum(packet[:header]):
        return None
    fragment = int.from_bytes(packet[6:8]) & 0x3FFF
    if fragment or packet[9] != protocol or packet[16:20] != address:
        return None
    return packet[:total]


def _admitted6(packet: bytes, *, protocol: int, address: bytes) -> bytes | None:
    if len(packet) < 40 or packet[0] >> 4 != 6:
        return None
    length = int.from_bytes(packet[4:6])
    if 40 + length > len(packet) or packet[6] != protocol or packet[24:40] != address:
        return None
    return packet[: 40 + length]
