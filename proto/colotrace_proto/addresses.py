"""What kind of address a target is: both programs judge it, each by its owner's policy."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that IANA has ever given out of IPv6; the rest is local, reserved or long deprecated.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


def unwrapped(address: Address) -> Address:
    """The IPv4 address to which a packet for this IPv6 one would come in the end, else the
    address itself: IPv4-mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[12:])
    return address.ipv4_mapped or address.sixtofour or address


def is_one_host(address: Address) -> bool:
    """Whether a path may lead there: it is not multicast, unspecified or broadcast."""
    inner = unwrapped(address)
    return not any(a.is_multicast or a.is_unspecified or a == _BROADCAST for a in (address, inner))


def is_public(address: Address) -> bool:
    """Whether the public internet reaches it (RFC 6890); a wrapped address is what it wraps."""
    inner = unwrapped(address)
    if isinstance(inner, ipaddress.IPv4Address):
        return inner.is_global and not inner.is_reserved
    return inner in _GLOBAL_UNICAST and inner.is_global and inner.scope_id is None
