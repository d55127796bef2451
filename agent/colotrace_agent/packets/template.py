"""Each probe's bytes before anything is filled in, built by scapy once and kept."""

import functools
import logging

from colotrace_proto.messages import Family, PacketType

from .payload import PAYLOAD

# scapy warns about the host it finds itself on (no IPv6 route, say) when it is imported.
logging.getLogger("scapy.runtime").setLevel(logging.CRITICAL)

IPV4_HEADER = 20
IPV6_HEADER = 40

_EPHEMERAL_WINDOW = 64_240
_COMMON_MSS = 1_460
_INNER_TTL = 64


@functools.cache
def template(packet_type: PacketType, family: Family) -> bytes:
    """A whole packet with addresses, ports, numbers and checksums zero.

    Raises:
        ValueError: probes of that packet type are not built here.
    """
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.layers.l2 import GRE
    from scapy.packet import Raw

    ip = IP(src="0.0.0.0", dst="0.0.0.0", chksum=0, id=0)  # noqa: S104 - filled in for each flow
    ip6 = IPv6(src="::", dst="::", fl=0)
    # What GRE has inside counts its own hops, and is an atomic datagram (RFC 6864).
    if family is Family.IPV4:
        header, inside = ip, ip.copy()
        inside.flags, inside.ttl = "DF", _INNER_TTL
        echo = ICMP(type=8, id=0, seq=0, chksum=0) / Raw(PAYLOAD)
    else:
        header, inside = ip6, ip6.copy()
        inside.hlim = _INNER_TTL
        echo = ICMPv6EchoRequest(id=0, seq=0, cksum=0, data=PAYLOAD)
    match packet_type:
        case PacketType.ICMP:
            packet = header / echo
        case PacketType.UDP:
            packet = header / UDP(sport=0, dport=0, chksum=0) / Raw(PAYLOAD)
        case PacketType.TCP:
            # As a client's SYN looks: firewalls drop odd ones.
            options = [("MSS", _COMMON_MSS)]
            packet = header / TCP(
                sport=0, dport=0, flags="S", window=_EPHEMERAL_WINDOW, chksum=0, options=options
            )
        case PacketType.GRE:
            packet = header / GRE(key_present=1, key=0) / inside / echo
        case _:
            raise ValueError(f"no probes of type {packet_type}")
    return bytes(packet)


def build_all() -> None:
    """Builds every template, so that no trace has to wait for it."""
    for packet_type in (PacketType.ICMP, PacketType.UDP, PacketType.TCP, PacketType.GRE):
        for family in Family:
            template(packet_type, family)
