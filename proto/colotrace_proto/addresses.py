"""What kind of address a target is. Both programs judge by it, each by its owner's policy."""

import ipaddress

from .special_purpose import Address, is_reachable

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
# The first half of an ISATAP interface identifier (RFC 5214 section 6.1), without its u bit.
_ISATAP, _UNIVERSAL = 0x00005EFE, 0x02000000


def unwrapped(address: Address) -> Address:
    """The IPv4 address that stands for this IPv6 one on the public internet, else the address
    itself: IPv4-mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[12:])
    return address.ipv4_mapped or address.sixtofour or address


def is_one_host(address: Address) -> bool:
    """Whether a path may lead there: it is not multicast, unspecified or broadcast."""
    return not any(
        each.is_multicast or each.is_unspecified or each == _BROADCAST
        for each in (address, unwrapped(address), tunnelled(address))
        if each is not None
    )


def is_public(address: Address) -> bool:
    """Whether the public internet reaches it, by IANA's registries; see `special_purpose`.

    An address that stands for an IPv4 one is as public as that one. One that names the IPv4 host
    at the end of a tunnel is public where both are.
    """
    inner, end = unwrapped(address), tunnelled(address)
    scoped = isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None
    return not scoped and is_reachable(inner) and (end is None or is_reachable(end))


def tunnelled(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 host inside a site to which an ISATAP router tunnels (RFC 5214); None in others.

    Teredo addresses hold IPv4 addresses too, and are not public whatever these are.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return None
    number = int(address)
    if number >> 32 & 0xFFFFFFFF & ~_UNIVERSAL != _ISATAP:
        return None
    return ipaddress.IPv4Address(number & 0xFFFFFFFF)
