"""Which addresses the host delivers to itself or to a whole link, by rtnetlink(7).

The kernel's own routing decides, per question: its addresses on any interface, prefixes routed to
it (`ip route add local`), and the broadcast address of each of its networks.
"""

import ipaddress
import socket
import struct
from collections.abc import Sequence

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
    """Without rtnetlink: only what is the host's own, or all hosts' of a link, can be bound to."""
    try:
        with socket.socket(FAMILIES[family_of(target)], socket.SOCK_DGRAM) as sock:
            sock.bind((str(ipaddress.ip_address(target)), 0))
    except OSError:
        return None
    return "own"
