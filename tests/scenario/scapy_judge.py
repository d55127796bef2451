"""Probes made by scapy, so that the world is judged by somebody else's idea of a packet."""

import functools

from scapy.layers.inet import ICMP, IP, TCP, UDP, in4_chksum
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, in6_chksum
from scapy.layers.l2 import GRE
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from scenario import wire
from scenario.kinds import Protocol
from scenario.load import parse
from scenario.world import Delivery, World

PAYLOAD = bytes(range(40))
SECOND = 1_000_000_000
EXPECT = "\n[expect]\nhops = []\nreached = false\n"


def world(text: str, *, family: int) -> World:
    """Return the world of a case that is written out in a test."""
    return World(parse(f'shows = "x"\n{text}{EXPECT}', name="test"), family=family)  # type: ignore[arg-type]


def probe(
    network: World,
    *,
    protocol: Protocol,
    ttl: int,
    port: int = 33434,
    source_port: int = 50000,
    sequence: int = 1000,
    flags: str = "S",
) -> bytes:
    """Return a probe to the world's target; `sequence` is that of ICMP and TCP.

    GRE's key is the source port, and so is the identifier of the echo request within.
    """
    ends = (network.addresses.prober, network.addresses.target)
    return _built(ends, protocol, ttl, port, source_port, sequence, flags)


@functools.cache
def _built(
    between: tuple[str, str],
    protocol: Protocol,
    ttl: int,
    port: int,
    source_port: int,
    sequence: int,
    flags: str,
) -> bytes:
    """Build a probe once for all cases: scapy takes its time."""
    ends = dict(zip(("src", "dst"), between, strict=True))
    four = ":" not in between[0]
    header = IP(**ends, ttl=ttl, id=0x1234) if four else IPv6(**ends, hlim=ttl, fl=7)
    if protocol is Protocol.GRE:
        header = header / GRE(key_present=1, key=source_port)
        header = header / (IP(**ends, ttl=64, id=0x4321) if four else IPv6(**ends, hlim=64))
    if protocol is Protocol.UDP:
        layer: Packet = UDP(sport=source_port, dport=port)
    elif protocol is Protocol.TCP:
        return bytes(header / TCP(sport=source_port, dport=port, seq=sequence, flags=flags))
    elif four:
        layer = ICMP(id=source_port, seq=sequence)
    else:
        layer = ICMPv6EchoRequest(id=source_port, seq=sequence)
    return bytes(header / layer / Raw(PAYLOAD))


def dissected(delivery: Delivery) -> Packet:
    """Return what scapy makes of a delivery, having found its lengths and checksums right."""
    return _judged(delivery.packet)


def _judged(data: bytes) -> Packet:
    if data[0] >> 4 == 4:
        packet = IP(data)
        assert packet.len == len(data)
        assert checksum(data[:20]) == 0
        payload, number = data[20:], packet.proto
        total = checksum(payload) if number == 1 else in4_chksum(number, packet, payload)
    else:
        packet = IPv6(data)
        payload, number = data[40:], packet.nh
        assert packet.plen == len(payload)
        total = in6_chksum(number, packet, payload)
    if number == wire.GRE:
        # It has no checksum, and what it carries is a packet again.
        _judged(bytes(packet[GRE].payload))
    else:
        assert total == 0
    return packet


def answers(network: World, packet: bytes, *, now_ns: int = SECOND) -> list[Packet]:
    """Return what scapy makes of everything that one packet brings back."""
    return [dissected(delivery) for delivery in network.deliver(packet, now_ns)]
