"""Addresses as text, and the classification of target addresses for both programs' policies."""

import functools
import ipaddress

from .special_purpose import Address, is_reachable

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
# The first half of an ISATAP interface identifier (RFC 5214 section 6.1), without its u bit.
_ISATAP, _UNIVERSAL = 0x00005EFE, 0x02000000


@functools.lru_cache(maxsize=1 << 16)
def address_text(packed: bytes) -> str:
    """An address of 4 or 16 bytes as text. Remembered: routers come again in every answer, and
    `ipaddress` takes 3 µs."""
    return str(ipaddress.ip_address(packed))


def unwrapped(address: Address) -> Address:
    """The IPv4 address embedded in an IPv4-mapped (RFC 4291), NAT64 (RFC 6052) or 6to4 (RFC 3056)
    address; any other address unchanged."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[12:])
    return address.ipv4_mapped or address.sixtofour or address


def is_one_host(address: Address) -> bool:
    """Whether the address can be a target: it is not multicast, unspecified or broadcast."""
    return not any(
        each.is_multicast or each.is_unspecified or each == _BROADCAST
        for each in (address, unwrapped(address), tunnelled(address))
        if each is not None
    )


def is_public(address: Address) -> bool:
    """Whether the address is globally reachable by IANA's registries; see `special_purpose`.

    For an embedded IPv4 address, that address decides. An ISATAP address is public if both the
    address and the IPv4 tunnel endpoint are.
    """
    inner, end = unwrapped(address), tunnelled(address)
    scoped = isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None
    return not scoped and is_reachable(inner) and (end is None or is_reachable(end))


def tunnelled(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 tunnel endpoint of an ISATAP address (RFC 5214); None for other addresses.

    Teredo addresses also embed IPv4 addresses, but are never public.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return None
    number = int(address)
    if number >> 32 & 0xFFFFFFFF & ~_UNIVERSAL != _ISATAP:
        return None
    return ipaddress.IPv4Address(number & 0xFFFFFFFF)
