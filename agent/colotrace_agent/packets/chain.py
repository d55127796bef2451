"""The extension headers of a quoted IPv6 packet (RFC 8200 section 4).

Probes are sent without any. Routers and translators insert them: a translator from IPv4 adds a
fragment header to an unfragmented packet (RFC 6946, RFC 7915 section 4), a segment-routing domain a
routing header (RFC 8754).
"""

from typing import NamedTuple

from .template import IPV6_HEADER

_FRAGMENT = 44
_AUTHENTICATION = 51
# Hop-by-hop options, routing, destination options, mobility, host identity, shim6: their second
# byte counts 8-byte units beyond the first (RFC 8200 section 4, RFC 6564).
_COUNTED_IN_EIGHTS = frozenset({0, 43, 60, 135, 139, 140})
MOST_HEADERS = 16
"""A longer chain is not followed."""
NEXT_HEADER_AT = 6
"""Offset of the next-header field in an IPv6 header."""


class Upper(NamedTuple):
    """The payload of an IPv6 packet, behind its extension headers."""

    protocol: int
    start: int
    """Its offset."""
    named_at: int
    """Offset of the last next-header field, to which a parameter problem about it points."""


def upper_of(packet: bytes) -> Upper | None:
    """The payload of a packet, which may be cut: `start` can lie beyond its end.

    None for a fragment other than the first, and for a chain that is too long. The packet must
    contain the whole IPv6 header.
    """
    protocol, start, named_at = packet[NEXT_HEADER_AT], IPV6_HEADER, NEXT_HEADER_AT
    for _ in range(MOST_HEADERS + 1):
        if protocol == _FRAGMENT:  # RFC 8200 section 4.5
            if int.from_bytes(packet[start + 2 : start + 4], "big") >> 3:
                return None
            length = 8
        elif protocol == _AUTHENTICATION:  # RFC 4302 section 2.2: in 4-byte units, less 2
            length = 4 * (packet[start + 1] + 2) if len(packet) > start + 1 else 8
        elif protocol in _COUNTED_IN_EIGHTS:
            length = 8 * (packet[start + 1] + 1) if len(packet) > start + 1 else 8
        else:
            return Upper(protocol, start, named_at)
        if len(packet) < start + 8:  # cut within this header
            return Upper(protocol, len(packet), named_at)
        protocol, named_at, start = packet[start], start, start + length
    return None
