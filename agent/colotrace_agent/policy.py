"""Which addresses this agent traces: its owner's word, whoever asks."""

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def refusal(address: bytes, *, allow_private: bool) -> str | None:
    """Why the agent does not trace that address; None where it does.

    Multicast, unspecified and broadcast addresses are never traced; what is not reachable
    through the public internet (RFC 6890) only where the owner allows it.
    """
    ip = _plain(ipaddress.ip_address(address))
    if ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255":
        return f"{ip} is not the address of one host"
    if not allow_private and not ip.is_global:
        return f"{ip} is not a public address, and this agent runs without --allow-private"
    return None


def _plain(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one only wraps, else the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(ip.packed[12:])
    return ip.ipv4_mapped or ip.sixtofour or ip
