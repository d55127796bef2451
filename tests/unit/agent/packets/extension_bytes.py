"""ICMP errors with extensions (RFC 4884), put together from their parts."""

import struct

from colotrace_proto.messages import Family
from scapy.layers.inet import (
    IP,
    UDP,
)
from scapy.layers.inet6 import IPv6
from scapy.utils import checksum

V4, V6 = Family.IPV4, Family.IPV6

# A UDP probe as a router quotes it: 8 bytes beyond the IP header, the last not zero.
QUOTE = bytes(IP(src="192.0.2.1", dst="203.0.113.9", ttl=1) / UDP(sport=20_001, chksum=0x1234))
QUOTE6 = bytes(IPv6(src="2001:db8::1", dst="2001:db8:ffff::9") / UDP(sport=20_001, chksum=0x1234))
QUOTES = {V4: QUOTE, V6: QUOTE6}
KINDS = {V4: (3, 11, 12), V6: (1, 3)}
UNITS = {V4: 4, V6: 8}


def message(
    rest: bytes, *, family: Family = V4, stated: int = 0, kind: int | None = None, code: int = 0
) -> bytes:
    """An ICMP error with that length field. Its own checksum is 0, because no test needs it."""
    kind = KINDS[family][-1 if family is V6 else 1] if kind is None else kind
    header = [kind, code, 0, 0, 0, 0, 0, 0]
    header[5 if family is V4 else 4] = stated
    return bytes(header) + rest


def structure(*objects: bytes, version: int = 2, total: int | None = None) -> bytes:
    """An extension structure of those objects."""
    body = b"".join(objects)
    if total is None:
        total = checksum(struct.pack("!HH", version << 12, 0) + body)
    return struct.pack("!HH", version << 12, total) + body


def extension_object(
    kind: int, subtype: int, payload: bytes = b"", *, length: int | None = None
) -> bytes:
    """An object of an extension structure."""
    length = 4 + len(payload) if length is None else length
    return struct.pack("!HBB", length, kind, subtype) + payload


def entry(label: int, bits: int = 0, bottom: int = 0, ttl: int = 1) -> bytes:
    """A label stack entry."""
    return struct.pack("!I", label << 12 | bits << 9 | bottom << 8 | ttl)


ONE = structure(extension_object(1, 1, entry(16, ttl=7)))
ONE_LABEL = ("MPLS:L=16,E=0,S=0,T=7",)


INDEX = struct.pack("!I", 3)
ADDRESS = b"\0\1\0\0" + bytes([198, 51, 100, 1])
ADDRESS6 = b"\0\2\0\0" + QUOTE6[24:40]
NAME = b"\x0cge-0/0/1\0\0\0"
MTU = struct.pack("!I", 1_500)
