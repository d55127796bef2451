"""What a router adds behind the probe that it quotes: ICMP extensions (RFC 4884).

An ICMP error is its header, the quoted packet, and at times an extension structure, which names
the MPLS labels that the probe bore (RFC 4950) and the interface that it came in by (RFC 5837).
`split` parts the two, so that nobody looks for a probe's identity in an extension, nor in the
zeros with which a quote is filled up in front of one.

Read by offset, not by scapy: this runs for every error that arrives, scapy (2.8) looks for the
structure at 128 bytes alone and does not check it, and a stranger chose each length in it, so
each is checked here where it is used.
"""

import socket
import struct
from collections.abc import Iterator
from itertools import islice

from colotrace_proto.messages import MAX_LABELS, Family

from colotrace_agent import labels

from .chain import upper_of
from .checksum import ones_sum

_ICMP_HEADER = 8
_HEADER = 4
_VERSION = 2
_OBJECT = 4
_MAX_OBJECTS = 32

# RFC 4884 section 4: the messages that can have extensions, where these state the quote's length
# and in what unit. An ICMPv6 parameter problem and packet-too-big have no room to state it.
_TYPES, _LENGTH_AT, _UNIT = frozenset({3, 11, 12}), 5, 4
_TYPES_V6, _LENGTH_AT_V6, _UNIT_V6 = frozenset({1, 3}), 4, 8
_LEAST_QUOTE = 128  # in front of extensions, filled up with zeros (section 3)
_LEAST_EXTENDED = _ICMP_HEADER + _LEAST_QUOTE + _HEADER

_MPLS_STACK = (1, 1)
_INTERFACE = 2
# As traceroute(8) names them.
_ROLES = ("INC", "SUB", "OUT", "NXT")
_HAS_INDEX, _HAS_ADDRESS, _HAS_NAME, _HAS_MTU = 0x08, 0x04, 0x02, 0x01
# By address family number.
_ADDRESSES = {1: (socket.AF_INET, 4), 2: (socket.AF_INET6, 16)}
_MAX_NAME = 64  # its length octet included

_TRANSPORT_QUOTED = 8
_IP_HEADERS = {Family.IPV4: 20, Family.IPV6: 40}


def split(message: bytes, *, family: Family) -> tuple[bytes, tuple[str, ...]]:
    """The quoted packet of an ICMP or ICMPv6 error without what stands behind it, and that as
    labels, at most `MAX_LABELS` of at most `MAX_LABEL` characters.

    A stated length that leads to no extension is tried again at 128 bytes, where routers older
    than RFC 4884 put it (section 5.5).
    """
    if family is Family.IPV4:
        types, length_at, unit = _TYPES, _LENGTH_AT, _UNIT
    else:
        types, length_at, unit = _TYPES_V6, _LENGTH_AT_V6, _UNIT_V6
    if len(message) < _ICMP_HEADER or message[0] not in types:
        return message[_ICMP_HEADER:], ()
    stated = message[length_at] * unit
    if not stated and len(message) < _LEAST_EXTENDED:
        return message[_ICMP_HEADER:], ()
    rest = message[_ICMP_HEADER:]
    for length in (stated, _LEAST_QUOTE):
        if length and _is_extension(rest[length:]):
            return _unpadded(rest[:length], family), _labels(rest[length + _HEADER :])
    if _LEAST_QUOTE <= stated < len(rest):
        # Damaged, but no part of the quote either.
        rest = rest[:stated]
    return (_unpadded(rest, family) if stated else rest), ()


def _is_extension(structure: bytes) -> bool:
    """Section 7: the version is right, and so is the checksum, where there is one (not 0)."""
    if len(structure) < _HEADER or structure[0] >> 4 != _VERSION:
        return False
    return structure[2:4] == b"\0\0" or not ones_sum(structure)


def _unpadded(quote: bytes, family: Family) -> bytes:
    """The quote without the zeros behind it (section 3), which are no bytes of the probe's.

    The first 8 bytes behind the IP header are always the probe's, zeros or not; and routers
    quote whole words, so that the last byte that is no zero brings those of its word with it.
    """
    if len(quote) < _IP_HEADERS[family]:
        return quote
    if family is Family.IPV4:
        least = (quote[0] & 0x0F) * 4 + _TRANSPORT_QUOTED
    else:
        upper = upper_of(quote)
        if upper is None:
            return quote
        least = upper.start + _TRANSPORT_QUOTED
    words = -(-len(quote.rstrip(b"\0")) // 4)
    return quote[: max(least, 4 * words)]


def _labels(objects: bytes) -> tuple[str, ...]:
    found: list[str] = []
    for kind, subtype, payload in islice(_objects(objects), _MAX_OBJECTS):
        if (kind, subtype) == _MPLS_STACK:
            found += _mpls(payload)
        elif kind == _INTERFACE:
            found += _interface(subtype, payload)
        if len(found) >= MAX_LABELS:
            break
    return tuple(found[:MAX_LABELS])


def _objects(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Section 8: (class, type, payload), up to the first whose length cannot be."""
    while len(data) >= _OBJECT:
        length, kind, subtype = struct.unpack_from("!HBB", data)
        if length < _OBJECT or length % 4 or length > len(data):
            return
        yield kind, subtype, data[_OBJECT:length]
        data = data[length:]


def _mpls(stack: bytes) -> Iterator[str]:
    """RFC 4950 section 3, RFC 3032 section 2.1: the stack's entries, top first."""
    for (entry,) in islice(struct.iter_unpack("!I", stack), MAX_LABELS):
        yield labels.mpls(entry)


def _interface(subtype: int, data: bytes) -> list[str]:
    """RFC 5837 section 4; nothing where a length is wrong or an address family unknown."""
    words = []
    if subtype & _HAS_INDEX:
        index, data = data[:4], data[4:]
        if len(index) < 4:
            return []
        words.append(str(int.from_bytes(index, "big")))
    if subtype & _HAS_ADDRESS:
        family, length = _ADDRESSES.get(int.from_bytes(data[:2], "big"), (None, 0))
        address, data = data[4 : 4 + length], data[4 + length :]
        if family is None or len(address) < length:
            return []
        words.append(socket.inet_ntop(family, address))
    if subtype & _HAS_NAME:
        length = data[0] if data else 0
        if not 0 < length <= min(_MAX_NAME, len(data)) or length % 4:
            return []
        name, data = data[1:length].rstrip(b"\0"), data[length:]
        words.append(labels.interface_name(name))
    if subtype & _HAS_MTU:
        if len(data) < 4:
            return []
        words.append(f"mtu={int.from_bytes(data[:4], 'big')}")
    return labels.interface(_ROLES[subtype >> 6], words)
