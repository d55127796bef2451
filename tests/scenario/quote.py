"""How routers quote a probe in an ICMP error, and what they and translators do to the quote."""

from scenario import wire
from scenario.kinds import ExtensionHeader, Nat, Protocol, QuotedChecksum, QuotedId
from scenario.probe import Probe
from scenario.schema import Behaviour

# Who the prober is outside of a translator, and the target behind one.
NAT_SOURCE = {4: bytes([198, 51, 100, 77]), 6: bytes.fromhex("20010db8dddd") + bytes(9) + b"\x77"}
NAT_DESTINATION = {4: bytes([10, 0, 0, 9]), 6: bytes.fromhex("fd00") + bytes(13) + b"\x09"}
# GRE has none; what it carries is nobody's business on the way.
_CHECKSUM_AT = {Protocol.ICMP: 2, Protocol.UDP: 6, Protocol.TCP: 16}
# What a translator makes of the identifier or source port.
_NAT_PORT_MASK = 0x2A15
ROUTER_ALERT = bytes.fromhex("94040000")  # RFC 2113
HOP_BY_HOP_ALERT = bytes.fromhex("05020000" + "0100")  # RFC 2711, padded

# Extension headers: number, and what follows the next-header byte.
_HEADERS = {
    ExtensionHeader.HOP_BY_HOP: (0, b"\0" + HOP_BY_HOP_ALERT),
    ExtensionHeader.ROUTING: (43, b"\2\4\0" + bytes(4) + NAT_SOURCE[6]),
    ExtensionHeader.FRAGMENT: (44, bytes.fromhex("00 0000 00001234")),
    ExtensionHeader.AUTHENTICATION: (51, b"\4" + bytes(2) + bytes(range(20))),
    ExtensionHeader.DESTINATION: (60, b"\1\1\14" + bytes(12)),
}


def quoted(probe: Probe, *, behaviour: Behaviour, arriving_ttl: int) -> bytes:
    """Return the quote of the probe, before any cut or padding of RFC 4884.

    `arriving_ttl` is what is left of its TTL where the error is made.
    """
    ttl = behaviour.quoted_ttl if behaviour.quoted_ttl is not None else arriving_ttl
    header = bytearray(probe.packet[: probe.header_length])
    transport = bytearray(probe.transport)
    if behaviour.nat is not Nat.NONE:
        transport = _translated(header, transport, probe=probe, nat=behaviour.nat)
    at = _CHECKSUM_AT.get(probe.protocol)
    if at is not None and behaviour.quoted_checksum is QuotedChecksum.ZERO:
        transport[at : at + 2] = b"\0\0"
    elif at is not None and behaviour.quoted_checksum is QuotedChecksum.WRONG:
        flip(transport, at, mask=0x5A5A)
    keep = len(transport) if behaviour.quote == "full" else behaviour.quote
    options = behaviour.inner_options
    tos = behaviour.quoted_tos
    if probe.family == 6:
        header[7] = ttl
        if tos is not None:
            word = int.from_bytes(header[:4]) & 0xF00FFFFF | tos << 20
            header[:4] = word.to_bytes(4)
        if options:
            # Inserted between the header and the transport, and counted in the payload length.
            length = len(transport) + 8
            alert = bytes([header[6], 0]) + HOP_BY_HOP_ALERT
            header[4:7] = length.to_bytes(2) + bytes([wire.HOP_BY_HOP])
            header += alert
        for kind in reversed(behaviour.quoted_headers):
            _insert(header, kind)
        return bytes(header) + bytes(transport[:keep])
    header[8] = ttl
    if tos is not None:
        header[1] = tos
    header[4:6] = _quoted_id(int.from_bytes(header[4:6]), how=behaviour.quoted_id).to_bytes(2)
    if options:
        header[0] += 1
        header[2:4] = (int.from_bytes(header[2:4]) + 4).to_bytes(2)
        header += ROUTER_ALERT
    return wire.with_header_checksum(bytes(header)) + bytes(transport[:keep])


def _insert(header: bytearray, kind: ExtensionHeader) -> None:
    """Put an extension header right behind an IPv6 header."""
    number, body = _HEADERS[kind]
    header[40:40] = bytes([header[6]]) + body
    length = int.from_bytes(header[4:6]) + 1 + len(body)
    header[4:7] = length.to_bytes(2) + bytes([number])


def flip(data: bytearray, at: int, *, mask: int) -> None:
    """Turn the bits of `mask` in the two bytes from `at` on, where they are."""
    if len(data) >= at + 2:
        data[at : at + 2] = (int.from_bytes(data[at : at + 2]) ^ mask).to_bytes(2)


def _translated(header: bytearray, transport: bytearray, *, probe: Probe, nat: Nat) -> bytearray:
    """Rewrite an address (and port) as a translator does, the checksum carried along (RFC 3022)."""
    source, destination = probe.source, probe.destination
    if nat in {Nat.DESTINATION, Nat.DESTINATION_AND_PORT, Nat.BOTH}:
        destination = NAT_DESTINATION[probe.family]
    if nat in {Nat.SOURCE, Nat.SOURCE_AND_PORT, Nat.BOTH}:
        source = NAT_SOURCE[probe.family]
    header[slice(12, 20) if probe.family == 4 else slice(8, 40)] = source + destination
    if probe.protocol is Protocol.GRE:
        return transport
    if nat in {Nat.SOURCE_AND_PORT, Nat.BOTH, Nat.PORT_ALONE}:
        flip(transport, 4 if probe.protocol is Protocol.ICMP else 0, mask=_NAT_PORT_MASK)
    if nat is Nat.DESTINATION_AND_PORT and probe.protocol is not Protocol.ICMP:
        flip(transport, 2, mask=_NAT_PORT_MASK)
    at = _CHECKSUM_AT[probe.protocol]
    transport[at : at + 2] = b"\0\0"
    covered = bytes(transport)
    if not (probe.protocol is Protocol.ICMP and probe.family == 4):
        number = probe.packet[9] if probe.family == 4 else probe.packet[6]
        pseudo = wire.pseudo_header(source, destination, protocol=number, length=len(transport))
        covered = pseudo + covered
    transport[at : at + 2] = (wire.checksum(covered) or 0xFFFF).to_bytes(2)
    return transport


def _quoted_id(ident: int, *, how: QuotedId) -> int:
    if how is QuotedId.ZERO:
        return 0
    if how is QuotedId.SWAPPED:
        return int.from_bytes(ident.to_bytes(2), "little")
    step = {QuotedId.PLUS_ONE: 1, QuotedId.MINUS_ONE: -1}.get(how, 0)
    return (ident + step) % 0x10000
