"""Replies that somebody invents: right but for one thing."""

from dataclasses import replace

from scenario.kinds import Forgery, Protocol
from scenario.probe import GRE_HEADER, Probe
from scenario.quote import flip

_PORTED = {Protocol.UDP, Protocol.TCP}
_ICMP_HEADER = 8
# The first two bytes of a probe's payload may serve its checksum.
_TAG_AT = 4


def forged(probe: Probe, *, forgery: Forgery) -> Probe:
    """Return a probe that was never sent, near to this one, for somebody to answer."""
    packet = bytearray(probe.packet)
    at = probe.header_length
    match forgery:
        case Forgery.DESTINATION:
            # The last byte of the destination address.
            packet[19 if probe.family == 4 else 39] ^= 0x40
            _anothers(packet, at, probe=probe)
        case Forgery.FLOW:
            _flow(packet, at, probe=probe)
            _anothers(packet, at, probe=probe)
        case Forgery.IP_ID:
            _ip_id(packet)
        case Forgery.NUMBER:
            _number(packet, at, probe=probe)
        case Forgery.TAG:
            _tag(packet, at, probe=probe)
        case Forgery.PROBE:
            _anothers(packet, at, probe=probe)
    return replace(probe, packet=bytes(packet))


def _anothers(packet: bytearray, at: int, *, probe: Probe) -> None:
    """Alter all that tells one probe from another, wherever it can be."""
    _ip_id(packet)
    _number(packet, at, probe=probe)
    _tag(packet, at, probe=probe)
    if probe.protocol is Protocol.UDP:
        flip(packet, at + 4, mask=0x1A5A)


def _flow(packet: bytearray, at: int, *, probe: Probe) -> None:
    """Alter source port or identifier; of GRE the key, and what the request within has of it."""
    if probe.protocol is Protocol.GRE:
        flip(packet, at + 6, mask=0x1A5A)
        at += GRE_HEADER.size + probe.inner.header_length
    flip(packet, at if probe.protocol in _PORTED else at + 4, mask=0x1A5A)


def _ip_id(packet: bytearray) -> None:
    if packet[0] >> 4 == 4:
        flip(packet, 4, mask=0x5A5A)


def _number(packet: bytearray, at: int, *, probe: Probe) -> None:
    """Alter the sequence of ICMP and TCP, UDP's checksum, and the sequence within GRE."""
    if probe.protocol is Protocol.GRE:
        at += GRE_HEADER.size + probe.inner.header_length
    if probe.protocol is Protocol.TCP:
        flip(packet, at + 4, mask=0x1A5A)
    flip(packet, at + 6, mask=0x5A5A)


def _tag(packet: bytearray, at: int, *, probe: Probe) -> None:
    """Alter the payload, which a SYN has not."""
    if probe.protocol is Protocol.GRE:
        at += GRE_HEADER.size + probe.inner.header_length
    if probe.protocol is not Protocol.TCP:
        flip(packet, at + _ICMP_HEADER + _TAG_AT, mask=0x5A5A)
