"""Finds targets that the host delivers to itself or broadcasts on a link, by rtnetlink(7).

The kernel's routing decides for each address. This covers addresses of all interfaces, prefixes
routed to the host (`ip route add local`), and broadcast addresses of its networks.
"""

import errno
import ipaddress
import socket
from collections.abc import Sequence

from colotrace_proto.messages import Family

from colotrace_agent.model import family_of

from .rtnetlink import FAMILIES, GET_ROUTE, Kernel, Route, route_question

_KINDS = {2: "own", 3: "link", 5: "link"}
"""By type of the route: RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST."""

_BIND_ADDRESS_NO_PORT = 24  # linux/in.h
_ANY_PORT = 9
DOCUMENTATION_ADDRESS = {
    Family.IPV4: ipaddress.ip_address("192.0.2.1").packed,
    Family.IPV6: ipaddress.ip_address("2001:db8::1").packed,
}
"""Addresses that belong to no host (RFC 5737, RFC 3849)."""


def kinds(targets: Sequence[bytes]) -> list[str | None]:
    """For each target "own" if it is the host's own, "link" if it is a broadcast or multicast
    address of a link, else None."""
    try:
        with Kernel() as kernel:
            answers = kernel.ask_all(GET_ROUTE, [route_question(each) for each in targets])
    except OSError:
        return [_by_binding(each) for each in targets]
    return [
        None if isinstance(each, OSError) else _KINDS.get(Route.of(each).kind) for each in answers
    ]


def _by_binding(target: bytes) -> str | None:
    """Like `kinds`, without rtnetlink: a socket can only be bound to an address of this host.

    This misses IPv6 prefixes that are routed to the host. With `ip_nonlocal_bind`, which allows
    binding to any address, it finds nothing.
    """
    if _bound(DOCUMENTATION_ADDRESS[family_of(target)]) or not _bound(target):
        return None
    with socket.socket(FAMILIES[family_of(target)], socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((str(ipaddress.ip_address(target)), _ANY_PORT))
        except PermissionError:  # a broadcast address, which needs SO_BROADCAST
            return "link"
        except OSError:
            pass
    return "own"


def _bound(address: bytes) -> bool:
    with socket.socket(FAMILIES[family_of(address)], socket.SOCK_DGRAM) as sock:
        try:
            # Without taking a port, so that it works when no port is free.
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((str(ipaddress.ip_address(address)), 0))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return True
