"""Builds every template by scapy, and prints them: to be run as a program, by `template`."""

import gc
import logging
import sys

from colotrace_proto.messages import Family, PacketType

# scapy warns about the host it finds itself on (no IPv6 route, say) when it is imported.
logging.getLogger("scapy.runtime").setLevel(logging.CRITICAL)
if __name__ == "__main__":
    gc.disable()  # it ends too soon for that to matter

from scapy.config import conf  # noqa: E402

# The host's routes are nothing to a packet whose addresses are filled in later.
conf.route_autoload = conf.route6_autoload = False

from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6  # noqa: E402
from scapy.layers.l2 import GRE  # noqa: E402
from scapy.packet import Packet, Raw  # noqa: E402

from .payload import PAYLOAD  # noqa: E402

_EPHEMERAL_WINDOW = 64_240
_COMMON_MSS = 1_460
_INNER_TTL = 64


def build(packet_type: PacketType, family: Family) -> Packet:
    """A whole packet with addresses, ports, numbers and checksums zero."""
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
    if packet_type is PacketType.UDP:
        return header / UDP(sport=0, dport=0, chksum=0) / Raw(PAYLOAD)
    if packet_type is PacketType.TCP:
        # As a client's SYN looks: firewalls drop odd ones.
        options = [("MSS", _COMMON_MSS)]
        return header / TCP(
            sport=0, dport=0, flags="S", window=_EPHEMERAL_WINDOW, chksum=0, options=options
        )
    if packet_type is PacketType.GRE:
        return header / GRE(key_present=1, key=0) / inside / echo
    return header / echo


if __name__ == "__main__":
    for each in (PacketType.ICMP, PacketType.UDP, PacketType.TCP, PacketType.GRE):
        for version in Family:
            sys.stdout.write(f"{each} {version} {bytes(build(each, version)).hex()}\n")
