"""The client's address of a request, and the key under which clients are counted."""

from collections.abc import Iterable, Sequence

from colotrace_coordinator.listen import Network
from colotrace_coordinator.shares import holder_of, parse


def plain(text: str) -> str:
    """The address as it is logged; other text is truncated."""
    # A dual-stack socket reports an IPv4 client in this form.
    if text.startswith("::ffff:") or "%" in text:
        text = str(parse(text) or text).partition("%")[0]
    return text[:64]


def key(text: str) -> str:
    """The key under which a client is counted: `holder_of` its address, or the truncated text."""
    return holder_of(text) or text[:64]


class Proxies:
    """The reverse proxies whose X-Forwarded-For is trusted."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def trusts(self, text: str) -> bool:
        """Whether the address is a trusted proxy's."""
        if not self._networks:
            return False
        address = parse(text.partition("%")[0])
        return address is not None and any(address in network for network in self._networks)

    def client(self, peer: str, forwarded: Iterable[bytes]) -> str:
        """The client's address: the last address in the lines of X-Forwarded-For that is not a
        trusted proxy's. An address is believed only if a trusted proxy wrote it."""
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
