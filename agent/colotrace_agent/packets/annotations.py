"""Detects changes of a probe's IP header, in the header that a router quotes.

Probes are sent with traffic class 0. A router that discards a probe for its TTL quotes TTL 1. A
quoted 0 means that the router decremented it before, or that the router in front of it forwarded a
packet that it should have discarded. More than 1 means that routers in front of it did not
decrement the TTL, as in MPLS tunnels that hide their routers (Donnet et al., Revealing MPLS tunnels
obscured from traceroute, 2012).
"""

from colotrace_proto.messages import Family

from colotrace_agent import labels

_EXPIRED = 1


def quoted_ttl(quote: bytes, family: Family) -> int:
    """The quoted TTL or hop limit."""
    return quote[8] if family is Family.IPV4 else quote[7]


def quoted_traffic_class(quote: bytes, family: Family) -> int:
    """The differentiated services code point (RFC 2474 section 3), then two bits of congestion
    notification (RFC 3168 section 5)."""
    return quote[1] if family is Family.IPV4 else (quote[0] & 0x0F) << 4 | quote[1] >> 4


def annotate(quote: bytes, *, family: Family, expired: bool) -> tuple[str, ...]:
    """Labels of the changed fields: `QTTL=<n>`, `DSCP=<n>`, `ECN=<n>`.

    `expired`: the answer is time-exceeded; in other answers, any quoted TTL is normal.
    The quote must contain the family's fixed IP header.
    """
    traffic_class, ttl = quoted_traffic_class(quote, family), quoted_ttl(quote, family)
    if not traffic_class and (not expired or ttl == _EXPIRED):
        return ()
    found = []
    if expired and ttl != _EXPIRED:
        found.append(labels.quoted_ttl(ttl))
    if dscp := traffic_class >> 2:
        found.append(labels.dscp(dscp))
    if ecn := traffic_class & 3:
        found.append(labels.ecn(ecn))
    return tuple(found)
