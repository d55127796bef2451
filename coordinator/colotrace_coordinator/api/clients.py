"""Clients by their addresses: which one a request comes from, and which belong together."""

import ipaddress
from collections.abc import Iterable, Sequence

from colotrace_coordinator.listen import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse(text: str) -> Address | None:
    """The address, an IPv4 one if it is written as an IPv6 one (::ffff:192.0.2.1); else None."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def plain(text: str) -> str:
    """The address as it is logged; what is none is cut."""
    # What a socket on all addresses tells of an IPv4 client.
    if text.startswith("::ffff:") or "%" in text:
        text = str(parse(text) or text).partition("%")[0]
    return text[:64]


def key(text: str) -> str:
    """What is counted: the address, or an IPv6 host's /64, of which it may use every address."""
    address = parse(text.partition("%")[0])
    if address is None:
        return text[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))


class Proxies:
    """The proxies in front, whose X-Forwarded-For is believed."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def trusts(self, text: str) -> bool:
        """Whether the address is a proxy's."""
        if not self._networks:
            return False
        address = parse(text.partition("%")[0])
        return address is not None and any(address in network for network in self._networks)

    def client(self, peer: str, forwarded: Iterable[bytes]) -> str:
        """The client's address: the last one in X-Forwarded-For's lines that is no proxy's, as far
        back as proxies have written them."""
        client = plain(peer)
        if not self.trusts(client):
            return client
        hops = b",".join(forwarded).decode("latin-1").split(",")
        for hop in reversed(hops[-32:]):
            address = parse(_without_port(hop.strip()))
            if address is None:
                return client
            client = str(address)
            if not self.trusts(client):
                return client
        return client


def _without_port(text: str) -> str:
    """192.0.2.1 of 192.0.2.1:5, 2001:db8::1 of [2001:db8::1]:5."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
