"""The packets that routers and targets answer with."""

import struct

from scenario import wire
from scenario.extension import extended
from scenario.kinds import ICMP4, ICMP6, Error
from scenario.probe import ACK, GRE_HEADER, GRE_KEYED, RST, SYN, Probe
from scenario.quote import quoted
from scenario.schema import Behaviour, Target

# RFC 1812 section 4.3.2.3 and RFC 4443 section 2.4(c): how long an error may get.
_LONGEST = {4: 576, 6: 1280}
# A server's initial sequence number; any will do.
SERVER_SEQUENCE = 0x20000000
_WINDOW = 64240


def icmp_error(
    probe: Probe,
    *,
    error: Error,
    source: bytes,
    behaviour: Behaviour,
    arriving_ttl: int,
    mtu: int = 0,
) -> bytes:
    """Return the transport bytes of an ICMP error about the probe, from `source`."""
    family = probe.family
    kind, code = (ICMP4 if family == 4 else ICMP6)[error]
    quote = quoted(probe, behaviour=behaviour, arriving_ttl=arriving_ttl)
    length = 0
    if behaviour.extension is not None:
        length, quote = extended(quote, behaviour.extension, family=family)
    quote = quote[: _LONGEST[family] - (28 if family == 4 else 48)]
    rest = 0
    if error is Error.FRAGMENTATION_NEEDED:
        rest = mtu
    elif error is Error.PROTOCOL_UNREACHABLE and family == 6:
        rest = 6  # Parameter Problem points at the next header field of the quote.
    elif length:
        rest = length << (16 if family == 4 else 24)  # RFC 4884 sections 4.1 and 4.2
    return icmp(
        struct.pack("!BBHI", kind, code, 0, rest) + quote, source=source, destination=probe.source
    )


def echo_reply(probe: Probe, *, source: bytes, target: Target | None = None) -> bytes:
    """Return the echo reply: identifier and sequence as they came, and the payload as far as the
    target echoes it."""
    kind = 0 if probe.family == 4 else 129
    payload = probe.transport[8:]
    if target is not None:
        keep = len(payload) if target.echoed == "full" else target.echoed
        payload = payload[:keep].ljust(len(payload) if target.echo_filled else 0, b"\0")
        payload += b"\xa5" * target.echo_tail
    message = bytes([kind, 0, 0, 0]) + probe.transport[4:8] + payload
    return icmp(message, source=source, destination=probe.source)


def unpacked_echo_reply(
    probe: Probe, *, in_gre: bool, source: bytes | None = None, target: Target | None = None
) -> tuple[int, bytes]:
    """Return the protocol number and transport of what answers the echo request in a GRE packet.

    With `in_gre` the reply is wrapped as the request was.
    """
    inner = probe.inner
    if in_gre or source is None:
        source = inner.destination
    reply = echo_reply(inner, source=source, target=target)
    number = wire.ICMP if inner.family == 4 else wire.ICMP6
    if not in_gre:
        return number, reply
    build = wire.ip4 if inner.family == 4 else wire.ip6
    packet = build(inner.destination, inner.source, protocol=number, payload=reply)
    _, ethertype, key = GRE_HEADER.unpack_from(probe.transport)
    return wire.GRE, GRE_HEADER.pack(GRE_KEYED, ethertype, key) + packet


def datagram(probe: Probe, *, source: bytes) -> bytes:
    """Return a datagram back to the port that the probe came from."""
    ours, theirs = probe.ports
    payload = b"hello"
    blank = struct.pack("!HHHH", theirs, ours, 8 + len(payload), 0) + payload
    check = _transport_checksum(blank, wire.UDP, source=source, destination=probe.source)
    return blank[:6] + (check or 0xFFFF).to_bytes(2) + blank[8:]


def segment(
    probe: Probe, *, source: bytes, flags: int, acknowledged: int, sequence: int | None = None
) -> bytes:
    """Return a TCP segment back to the prober: `flags` of SYN, RST, ACK."""
    ours, theirs = probe.ports
    number = sequence if sequence is not None else (SERVER_SEQUENCE if flags & SYN else 0)
    blank = struct.pack(
        "!HHIIBBHHH",
        theirs,
        ours,
        number,
        acknowledged % (1 << 32),
        5 << 4,
        flags,
        0 if flags & RST else _WINDOW,
        0,
        0,
    )
    check = _transport_checksum(blank, wire.TCP, source=source, destination=probe.source)
    return blank[:16] + check.to_bytes(2) + blank[18:]


def challenge(probe: Probe, *, source: bytes, expected: int) -> bytes:
    """Return a bare ACK for what was expected instead of this segment (RFC 5961 section 4)."""
    return segment(
        probe, source=source, flags=ACK, acknowledged=expected, sequence=SERVER_SEQUENCE + 1
    )


def icmp(message: bytes, *, source: bytes, destination: bytes) -> bytes:
    """Return an ICMP message, its checksum field blank so far, with the checksum."""
    covered = message
    if len(source) == 16:
        covered = (
            wire.pseudo_header(source, destination, protocol=wire.ICMP6, length=len(message))
            + message
        )
    return message[:2] + wire.checksum(covered).to_bytes(2) + message[4:]


def _transport_checksum(blank: bytes, number: int, *, source: bytes, destination: bytes) -> int:
    header = wire.pseudo_header(source, destination, protocol=number, length=len(blank))
    return wire.checksum(header + blank)
