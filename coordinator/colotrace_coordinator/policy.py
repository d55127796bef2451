"""Which targets may be traced at all.

Only addresses can be judged here; a name is resolved by the agents, each as its colo sees it,
and judged there again.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that IANA has ever given out of IPv6; the rest is local, reserved or long deprecated.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
# The forms that inet_aton takes beside the dotted quad (RFC 6943, section 3.1.1): a resolver
# would read "127.1" or "0x7f000001" as an address and never ask a name server.
_LOOSE_IPV4 = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)(\.(0[xX][0-9a-fA-F]*|[0-9]+)){0,3}\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPolicy:
    """`allow_private` admits addresses that are not routed on the public Internet."""

    allow_private: bool = False

    def refusal(self, target: str) -> str | None:
        """Why the target may not be traced, in words; None where nothing forbids it."""
        address = literal(target)
        if address is None:
            return None
        for inner in (address, *_embedded(address)):
            if _pathless(inner):
                return f"{target} is no address of a single host, so no path leads to it"
        if self.allow_private:
            return None
        if any(not _public(inner) for inner in (address, *_embedded(address))):
            return (
                f"{target} is not a public address, and this coordinator traces no others; "
                "its operator can admit them with --allow-private"
            )
        return None


def literal(target: str) -> Address | None:
    """The address that the target is written as; None for a name."""
    try:
        return ipaddress.ip_address(target)
    except ValueError:
        pass
    if not _LOOSE_IPV4.fullmatch(target):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(target.rstrip(".")))
    except OSError:
        return None


def _embedded(address: Address) -> list[Address]:
    """The IPv4 address to which a packet for this IPv6 address would come in the end."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    return [low] if address in _NAT64 else []


def _pathless(address: Address) -> bool:
    return address.is_multicast or address.is_unspecified or address == _BROADCAST


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None or address in _NAT64:
            return True  # what is embedded decides
        return address in _GLOBAL_UNICAST and address.is_global and address.scope_id is None
    return address.is_global and not address.is_reserved
