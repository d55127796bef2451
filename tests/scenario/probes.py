"""Probes made by scapy, so that the world is judged by somebody else's idea of a packet."""

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Packet, Raw

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
    """Return a probe to the world's target; `sequence` is that of ICMP and TCP."""
    ends = {"src": network.addresses.prober, "dst": network.addresses.target}
    four = network.family == 4
    header = IP(**ends, ttl=ttl, id=0x1234) if four else IPv6(**ends, hlim=ttl, fl=7)
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
    """Return what scapy makes of a delivery, every checksum in it found to be right."""
    packet = IP(delivery.packet) if delivery.packet[0] >> 4 == 4 else IPv6(delivery.packet)
    again = packet.copy()
    _strip_checksums(again)
    # The outer checksums only: what is quoted is as the router left it.
    assert bytes(again) == delivery.packet
    return packet


def _strip_checksums(packet: Packet) -> None:
    if isinstance(packet, IP):
        del packet.chksum, packet.len
    else:
        del packet.plen
    inner = packet.payload
    for field in ("cksum", "chksum"):
        if field in inner.fields:
            delattr(inner, field)


def answers(network: World, packet: bytes, *, now_ns: int = SECOND) -> list[Packet]:
    """Return what scapy makes of everything that one packet brings back."""
    return [dissected(delivery) for delivery in network.deliver(packet, now_ns)]
