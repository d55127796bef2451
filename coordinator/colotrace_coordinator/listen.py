"""Parses HOST:PORT and networks, and opens listening sockets."""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from colotrace_proto.hostnames import HostNameError, to_ascii

from .errors import ListenError, SetupError

_BACKLOG = 2_048
# Temporary faults: at boot an address may not be configured yet; at a restart the previous process
# may still use the port.
_MAY_PASS = {errno.EADDRNOTAVAIL, errno.EADDRINUSE}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """An address to listen on; host "" means all addresses, port 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        """HOST:PORT, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, *, flag: str) -> Address:
    """Parse HOST:PORT, [IPv6]:PORT or :PORT.

    Raises:
        SetupError: the text has none of these forms.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise SetupError(f"{flag} {text}: write an IPv6 address in brackets, as in [::1]:8080")
    if not colon or not port.isdecimal() or not port.isascii() or int(port[:6]) > 65_535:
        raise SetupError(f"{flag} {text}: is not HOST:PORT, as in 127.0.0.1:8080")
    return Address(host, int(port))


def parse_network(text: str, *, flag: str) -> Network:
    """Parse an IP address or a network. An IPv4-mapped one (::ffff:192.0.2.1) becomes IPv4.

    Raises:
        SetupError: the text is neither.
    """
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise SetupError(
            f"{flag} {text}: is neither an IP address nor a network ({error}); write it as in "
            "192.0.2.80, 2001:db8::80 or 192.0.2.0/24"
        ) from None
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.IPv4Network((int(mapped), network.prefixlen - 96))
    return network


def listen(address: Address, *, flag: str) -> list[socket.socket]:
    """Open a listening socket for each address of the host, all on one port.

    Raises:
        SetupError: the name does not resolve, or an address cannot be listened on.
    """
    if not address.host or address.host == "::":
        return [_dual_stack(address, flag)]
    host = _dns_form(address.host, flag)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, where in socket.getaddrinfo(
            host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            port = sockets[0].getsockname()[1] if sockets else address.port
            place = (str(where[0]), port)
            sockets.append(socket.create_server(place, family=family, backlog=_BACKLOG))
    except OSError as error:
        _close(sockets)
        raise _cannot(address, flag, error) from error
    return sockets


def _dns_form(host: str, flag: str) -> bytes:
    """The name for getaddrinfo, as bytes: Python would encode a str by IDNA 2003."""
    try:
        return (host if host.isascii() else to_ascii(host)).encode("ascii")
    except HostNameError as error:
        raise SetupError(f"{flag} {host}: this is no host name: {error}") from None


def bound(sockets: Sequence[socket.socket], address: Address) -> Address:
    """The address with the port that the kernel has chosen."""
    return Address(address.host or "0.0.0.0", int(sockets[0].getsockname()[1]))  # noqa: S104 — as requested


def _dual_stack(address: Address, flag: str) -> socket.socket:
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("::", address.port),
                family=socket.AF_INET6,
                backlog=_BACKLOG,
                dualstack_ipv6=True,
            )
        return socket.create_server(("", address.port), backlog=_BACKLOG)
    except OSError as error:
        raise _cannot(address, flag, error) from error


def _cannot(address: Address, flag: str, error: OSError) -> SetupError:
    passing = isinstance(error, socket.gaierror) or error.errno in _MAY_PASS
    return (ListenError if passing else SetupError)(
        f"{flag}: cannot listen on {address}: {error.strerror or error}; "
        "give another address or port, or stop the program that uses it"
    )


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()
