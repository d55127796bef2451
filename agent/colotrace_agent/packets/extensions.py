"""ICMP extensions (RFC 4884), which routers append to the probe that they quote.

An ICMP error consists of its header, the quoted packet, and sometimes an extension structure with
the probe's MPLS labels (RFC 4950) and incoming interface (RFC 5837). `split` separates the two, so
that neither an extension nor the zeros that pad a quote are taken for a probe's identity.

It reads by offset, not by scapy: it runs for every error, and scapy (2.8) looks for the structure
only at 128 bytes and does not verify it. Every length is an attacker's choice, and checked before
use.
"""

import socket
import struct
from collections.abc import Iterator
from itertools import islice

from colotrace_proto.messages import MAX_LABELS, Family

from colotrace_agent import labels

from .chain import upper_of
from .checksum import ones_sum
from .template import IP_HEADERS

_ICMP_HEADER = 8
_HEADER = 4
_VERSION = 2
_OBJECT = 4
_MAX_OBJECTS = 32

# RFC 4884 section 4: the messages that can have extensions, where these state the quote's length
# and in what unit. An ICMPv6 parameter problem and packet-too-big have no room to state it.
_STATED = {Family.IPV4: (frozenset({3, 11, 12}), 5, 4), Family.IPV6: (frozenset({1, 3}), 4, 8)}
_LEAST_QUOTE = 128  # in front of extensions, padded with zeros (section 3)
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


def split(message: bytes, *, family: Family) -> tuple[bytes, tuple[str, ...]]:
    """The quoted packet of an ICMP or ICMPv6 error, and the labels of its extensions: at most
    `MAX_LABELS` of at most `MAX_LABEL` characters.

    If there is no extension at the stated length, it is searched at 128 bytes, where routers older
    than RFC 4884 put it (section 5.5).
    """
    types, length_at, unit = _STATED[family]
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
        # Damaged, but not a part of the quote.
        rest = rest[:stated]
    return (_unpadded(rest, family) if stated else rest), ()


def _is_extension(structure: bytes) -> bool:
    """Whether version and checksum are right; 0 is no checksum (section 7)."""
    if len(structure) < _HEADER or structure[0] >> 4 != _VERSION:
        return False
    return structure[2:4] == b"\0\0" or not ones_sum(structure)


def _unpadded(quote: bytes, family: Family) -> bytes:
    """The quote without its padding of zeros (section 3).

    The first 8 bytes behind the IP header are always the probe's, zeros or not; and routers
    quote whole words, so that the last byte that is no zero brings those of its word with it.
    """
    if len(quote) < IP_HEADERS[family]:
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
            # The stack's entries, top first (RFC 4950 section 3, RFC 3032 section 2.1).
            entries = islice(struct.iter_unpack("!I", payload), MAX_LABELS)
            found += [labels.mpls(entry) for (entry,) in entries]
        elif kind == _INTERFACE:
            found += _interface(subtype, payload)
        if len(found) >= MAX_LABELS:
            break
    return tuple(found[:MAX_LABELS])


def _objects(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Class, type and payload of each object (section 8), up to the first invalid length."""
    while len(data) >= _OBJECT:
        length, kind, subtype = struct.unpack_from("!HBB", data)
        if length < _OBJECT or length % 4 or length > len(data):
            return
        yield kind, subtype, data[_OBJECT:length]
        data = data[length:]


def _interface(subtype: int, data: bytes) -> list[str]:
    """The interface's fields (RFC 5837 section 4); none if a length or family is invalid."""
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
