"""Which addresses this agent traces: its owner's word, whoever asks."""

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that IANA has ever given out of IPv6; the rest is local, reserved or long deprecated.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def refusal(address: bytes, *, allow_private: bool) -> str | None:
    """Why the agent does not trace that address; None where it does.

    Multicast, unspecified and broadcast addresses are never traced; what is not reachable
    through the public internet (RFC 6890) only where the owner allows it.
    """
    ip = _plain(ipaddress.ip_address(address))
    if ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255":
        return f"{ip} is not the address of one host"
    if not allow_private and not _is_public(ip):
        return f"{ip} is not a public address, and this agent runs without --allow-private"
    return None


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_global and (ip.version == 4 or ip in _GLOBAL_UNICAST)


def _plain(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one only wraps, else the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(ip.packed[12:])
    return ip.ipv4_mapped or ip.sixtofour or ip
