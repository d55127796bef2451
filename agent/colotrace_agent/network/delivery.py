"""Which addresses the host delivers to itself or to a whole link, by rtnetlink(7).

The kernel's own routing decides, per question: its addresses on any interface, prefixes routed to
it (`ip route add local`), and the broadcast address of each of its networks.
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
# Documentation addresses (RFC 5737, RFC 3849), which no host has.
_ELSEWHERE = {
    Family.IPV4: ipaddress.ip_address("192.0.2.1").packed,
    Family.IPV6: ipaddress.ip_address("2001:db8::1").packed,
}


def kinds(targets: Sequence[bytes]) -> list[str | None]:
    """For each target "own" if it is the host's own, "link" if the packet would go to all hosts of
    a link, else None."""
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
    """The same without rtnetlink: a socket can be bound only to an address of this host.

    This misses IPv6 prefixes that are routed to the host. Where the host lets sockets be bound to
    any address (`ip_nonlocal_bind`), nothing is found.
    """
    if _bound(_ELSEWHERE[family_of(target)]) or not _bound(target):
        return None
    with socket.socket(FAMILIES[family_of(target)], socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((str(ipaddress.ip_address(target)), _ANY_PORT))
        except PermissionError:  # a broadcast address, which asks for SO_BROADCAST
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
