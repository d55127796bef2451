"""What became of a probe's IP header on its way, from the header that a router quotes.

Probes leave with traffic class 0. A router that discards one for its TTL quotes that as 1. 0 says
that it has counted itself before, or that the router in front of it forwarded what it should have
discarded; more says that routers in front of it let the TTL alone, as MPLS tunnels do whose routers
do not show themselves (Donnet et al., Revealing MPLS tunnels obscured from traceroute, 2012).
"""

from colotrace_proto.messages import Family

from colotrace_agent import labels

_EXPIRED = 1


def quoted_ttl(quote: bytes, family: Family) -> int:
    """The TTL or hop limit that the probe had left."""
    return quote[8] if family is Family.IPV4 else quote[7]


def quoted_dscp(quote: bytes, family: Family) -> int:
    """The differentiated services code point, 0 to 63 (RFC 2474 section 3)."""
    return _traffic_class(quote, family) >> 2


def quoted_ecn(quote: bytes, family: Family) -> int:
    """The congestion notification bits, 0 to 3 (RFC 3168 section 5)."""
    return _traffic_class(quote, family) & 3


def annotate(quote: bytes, *, family: Family, expired: bool) -> tuple[str, ...]:
    """Labels for what was changed: `QTTL=<n>`, `DSCP=<n>`, `ECN=<n>`.

    `expired` says that the answer is time-exceeded: only there is a quoted TTL other than 1 odd.
    The quote is at least the family's fixed IP header long.
    """
    if family is Family.IPV4:  # written out: this runs for every error that arrives
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
