"""Clients by their addresses: which one a request comes from, and which belong together."""

from collections.abc import Iterable, Sequence

from colotrace_coordinator.listen import Network
from colotrace_coordinator.shares import holder_of, parse


def plain(text: str) -> str:
    """The address as it is logged; what is none is cut."""
    # What a socket on all addresses tells of an IPv4 client.
    if text.startswith("::ffff:") or "%" in text:
        text = str(parse(text) or text).partition("%")[0]
    return text[:64]


def key(text: str) -> str:
    """The key that a client is counted under: its holder (`holder_of`), or the text itself, cut."""
    return holder_of(text) or text[:64]


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
