"""IP headers and Internet checksums, written out independently of any tracer's code."""

import struct

IP4_HEADER = struct.Struct("!BBHHHBBH4s4s")
IP6_HEADER = struct.Struct("!IHBB16s16s")
ICMP, TCP, UDP, GRE, ICMP6 = 1, 6, 17, 47, 58
# EtherTypes, by which a GRE header says what it carries (RFC 2784).
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
HOP_BY_HOP = 0


def checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071; over data that carries its own, 0 means it is right."""
    if len(data) % 2:
        data += b"\0"
    # The ones' complement sum of 16-bit words is the whole number modulo 0xffff, where a non-zero
    # sum that comes to 0 is the other zero, 0xffff.
    number = int.from_bytes(data)
    total = number % 0xFFFF
    if total == 0 and number:
        total = 0xFFFF
    return 0xFFFF - total


def pseudo_header(source: bytes, destination: bytes, *, protocol: int, length: int) -> bytes:
    """Return what a transport checksum covers besides the transport (RFC 9293, RFC 8200)."""
    if len(source) == 4:
        return struct.pack("!4s4sxBH", source, destination, protocol, length)
    return struct.pack("!16s16sI3xB", source, destination, length, protocol)


def ip4(
    source: bytes,
    destination: bytes,
    *,
    protocol: int,
    payload: bytes,
    ttl: int = 64,
    ident: int = 0,
) -> bytes:
    """Return an IPv4 packet without options."""
    fields = (0x45, 0, 20 + len(payload), ident, 0, ttl, protocol, 0, source, destination)
    return with_header_checksum(IP4_HEADER.pack(*fields)) + payload


def with_header_checksum(header: bytes) -> bytes:
    """Return an IPv4 header, options included, with its checksum filled in."""
    blank = header[:10] + b"\0\0" + header[12:]
    return blank[:10] + checksum(blank).to_bytes(2) + blank[12:]


def ip6(
    source: bytes, destination: bytes, *, protocol: int, payload: bytes, ttl: int = 64
) -> bytes:
    """Return an IPv6 packet without extension headers."""
    fields = (6 << 28, len(payload), protocol, ttl, source, destination)
    return IP6_HEADER.pack(*fields) + payload
