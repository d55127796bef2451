"""How routers quote a probe in an ICMP error, and what they and translators do to the quote."""

import struct
from dataclasses import replace

from scenario import wire
from scenario.kinds import Forgery, Nat, Protocol, QuotedChecksum, QuotedId
from scenario.probe import Probe
from scenario.schema import Behaviour, Extension

NAT_SOURCE = {4: bytes([198, 51, 100, 77]), 6: bytes.fromhex("20010db8dddd") + bytes(9) + b"\x77"}
_CHECKSUM_AT = {Protocol.ICMP: 2, Protocol.UDP: 6, Protocol.TCP: 16}
# What a translator makes of the identifier or source port.
_NAT_PORT_MASK = 0x2A15
ROUTER_ALERT = bytes.fromhex("94040000")  # RFC 2113
HOP_BY_HOP_ALERT = bytes.fromhex("05020000" + "0100")  # RFC 2711, padded


def quoted(probe: Probe, *, behaviour: Behaviour, arriving_ttl: int) -> bytes:
    """Return the quote of the probe, before any cut or padding of RFC 4884.

    `arriving_ttl` is what is left of its TTL where the error is made.
    """
    ttl = behaviour.quoted_ttl if behaviour.quoted_ttl is not None else arriving_ttl
    header = bytearray(probe.packet[: probe.header_length])
    transport = bytearray(probe.transport)
    if behaviour.nat is not Nat.NONE:
        transport = _translated(header, transport, probe=probe, nat=behaviour.nat)
    at = _CHECKSUM_AT[probe.protocol]
    if behaviour.quoted_checksum is QuotedChecksum.ZERO:
        transport[at : at + 2] = b"\0\0"
    elif behaviour.quoted_checksum is QuotedChecksum.WRONG:
        _flip(transport, at, mask=0x5A5A)
    keep = len(transport) if behaviour.quote == "full" else behaviour.quote
    options = behaviour.inner_options
    if probe.family == 6:
        header[7] = ttl
        if options:
            # Inserted between the header and the transport, and counted in the payload length.
            length = len(transport) + 8
            alert = bytes([header[6], 0]) + HOP_BY_HOP_ALERT
            header[4:7] = length.to_bytes(2) + bytes([wire.HOP_BY_HOP])
            header += alert
        return bytes(header) + bytes(transport[:keep])
    header[8] = ttl
    header[4:6] = _quoted_id(int.from_bytes(header[4:6]), how=behaviour.quoted_id).to_bytes(2)
    if options:
        header[0] += 1
        header[2:4] = (int.from_bytes(header[2:4]) + 4).to_bytes(2)
        header += ROUTER_ALERT
    return wire.with_header_checksum(bytes(header)) + bytes(transport[:keep])


def extended(quote: bytes, extension: Extension, *, family: int) -> tuple[int, bytes]:
    """Return RFC 4884's length field, and the quote with the extension structure behind it."""
    unit = 4 if family == 4 else 8
    padded = quote[: extension.pad_to].ljust(extension.pad_to, b"\0")
    length = len(padded) // unit if extension.length == "right" else extension.length
    entries = b"".join(
        struct.pack(
            "!I",
            entry.label << 12
            | entry.exp << 9
            | (place == len(extension.mpls)) << 8  # the bottom of the stack
            | entry.ttl,
        )
        for place, entry in enumerate(extension.mpls, start=1)
    )
    # RFC 4950: class 1, type 1.
    object_ = struct.pack("!HBB", 4 + len(entries), 1, 1) + entries if entries else b""
    body = struct.pack("!BBH", extension.version << 4, 0, 0) + object_
    check = wire.checksum(body) ^ (0 if extension.checksum_right else 0x5A5A)
    structure = body[:2] + check.to_bytes(2) + body[4:]
    whole = padded + structure
    return length, whole[: len(whole) - extension.cut]


def forged(probe: Probe, *, forgery: Forgery) -> Probe:
    """Return a probe that was never sent, near to this one, for somebody to answer."""
    packet = bytearray(probe.packet)
    at = probe.header_length
    if forgery is Forgery.DESTINATION:
        # The last byte of the destination address.
        packet[19 if probe.family == 4 else 39] ^= 0x40
    elif forgery is Forgery.FLOW:
        _flip(packet, at + (4 if probe.protocol is Protocol.ICMP else 0), mask=0x1A5A)
    else:
        # Wherever an index can be: IP ID, ICMP sequence, UDP length and checksum, TCP sequence.
        if probe.family == 4:
            _flip(packet, 4, mask=0x5A5A)
        if probe.protocol is Protocol.ICMP:
            _flip(packet, at + 6, mask=0x5A5A)
        else:
            _flip(packet, at + 4, mask=0x1A5A)
            _flip(packet, at + 6, mask=0x5A5A)
    return replace(probe, packet=bytes(packet))


def _translated(header: bytearray, transport: bytearray, *, probe: Probe, nat: Nat) -> bytearray:
    """Rewrite source (and port) as a translator does, its checksum carried along (RFC 3022)."""
    if probe.family == 4:
        header[12:16] = NAT_SOURCE[4]
    else:
        header[8:24] = NAT_SOURCE[6]
    if nat is Nat.SOURCE_AND_PORT:
        _flip(transport, 4 if probe.protocol is Protocol.ICMP else 0, mask=_NAT_PORT_MASK)
    at = _CHECKSUM_AT[probe.protocol]
    transport[at : at + 2] = b"\0\0"
    covered = bytes(transport)
    if not (probe.protocol is Protocol.ICMP and probe.family == 4):
        number = probe.packet[9] if probe.family == 4 else probe.packet[6]
        covered = (
            wire.pseudo_header(
                NAT_SOURCE[probe.family],
                probe.destination,
                protocol=number,
                length=len(transport),
            )
            + covered
        )
    transport[at : at + 2] = (wire.checksum(covered) or 0xFFFF).to_bytes(2)
    return transport


def _quoted_id(ident: int, *, how: QuotedId) -> int:
    if how is QuotedId.ZERO:
        return 0
    if how is QuotedId.SWAPPED:
        return int.from_bytes(ident.to_bytes(2), "little")
    step = {QuotedId.PLUS_ONE: 1, QuotedId.MINUS_ONE: -1}.get(how, 0)
    return (ident + step) % 0x10000


def _flip(data: bytearray, at: int, *, mask: int) -> None:
    data[at : at + 2] = (int.from_bytes(data[at : at + 2]) ^ mask).to_bytes(2)
