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


def quoted_dscp(quote: bytes, family: Family) -> int:
    """The differentiated services code point, 0 to 63 (RFC 2474 section 3)."""
    return _traffic_class(quote, family) >> 2


def quoted_ecn(quote: bytes, family: Family) -> int:
    """The congestion notification bits, 0 to 3 (RFC 3168 section 5)."""
    return _traffic_class(quote, family) & 3


def annotate(quote: bytes, *, family: Family, expired: bool) -> tuple[str, ...]:
    """Labels of the changed fields: `QTTL=<n>`, `DSCP=<n>`, `ECN=<n>`.

    `expired`: the answer is time-exceeded; in other answers, any quoted TTL is normal.
    The quote must contain the family's fixed IP header.
    """
    if family is Family.IPV4:  # inlined: this runs for every error
        traffic_class, ttl = quote[1], quote[8]
    else:
        traffic_class, ttl = (quote[0] & 0x0F) << 4 | quote[1] >> 4, quote[7]
    if not traffic_class and (not expired or ttl == _EXPIRED):
        return ()
    found = []
    if expired and ttl != _EXPIRED:
        found.append(labels.quoted_ttl(ttl))
    if dscp := quoted_dscp(quote, family):
        found.append(labels.dscp(dscp))
    if ecn := quoted_ecn(quote, family):
        found.append(labels.ecn(ecn))
    return tuple(found)


def _traffic_class(quote: bytes, family: Family) -> int:
    if family is Family.IPV4:
        return quote[1]
    return (quote[0] & 0x0F) << 4 | quote[1] >> 4
