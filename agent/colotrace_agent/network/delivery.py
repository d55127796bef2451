"""Finds targets that the host delivers to itself or broadcasts on a link, by rtnetlink(7).

The kernel's routing decides for each address. This covers addresses of all interfaces, prefixes
routed to the host (`ip route add local`), and broadcast addresses of its networks.
"""

import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence

from colotrace_proto.messages import Family

from colotrace_agent.model import family_of

from .rtnetlink import FAMILIES, Kernel, Message, attribute

# linux/rtnetlink.h
_GET_ROUTE = 26
_ROUTE_DESTINATION = 1
_LOCAL, _BROADCAST, _MULTICAST = 2, 3, 5

_ROUTE = struct.Struct("=8BI")  # family, lengths of prefixes, tos, table, protocol, scope, type, …
_TYPE_AT = 7
_KINDS = {_LOCAL: "own", _BROADCAST: "link", _MULTICAST: "link"}
_AT_ONCE = 32

_BIND_ADDRESS_NO_PORT = 24  # linux/in.h
_ANY_PORT = 9
# Documentation addresses (RFC 5737, RFC 3849), which belong to no host.
_ELSEWHERE = {
    Family.IPV4: ipaddress.ip_address("192.0.2.1").packed,
    Family.IPV6: ipaddress.ip_address("2001:db8::1").packed,
}


def kinds(targets: Sequence[bytes]) -> list[str | None]:
    """For each target "own" if it is the host's own, "link" if it is a broadcast or multicast
    address of a link, else None."""
    found: list[str | None] = []
    try:
        with Kernel() as kernel:
            for start in range(0, len(targets), _AT_ONCE):
                questions = [_question(each) for each in targets[start : start + _AT_ONCE]]
                answers = kernel.ask_all(_GET_ROUTE, questions)
                found += [
                    _KINDS.get(each.body[_TYPE_AT]) if isinstance(each, Message) else None
                    for each in answers
                ]
    except OSError:
        found += [_by_binding(each) for each in targets[len(found) :]]
    return found


def _question(target: bytes) -> bytes:
    route = _ROUTE.pack(FAMILIES[family_of(target)], len(target) * 8, 0, 0, 0, 0, 0, 0, 0)
    return route + attribute(_ROUTE_DESTINATION, target)


def _by_binding(target: bytes) -> str | None:
    """Like `kinds`, without rtnetlink: a socket can only be bound to an address of this host.

    This misses IPv6 prefixes that are routed to the host. With `ip_nonlocal_bind`, which allows
    binding to any address, it finds nothing.
    """
    if _bound(_ELSEWHERE[family_of(target)]) or not _bound(target):
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
