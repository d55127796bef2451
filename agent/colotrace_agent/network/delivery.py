"""Which addresses the host delivers to itself or to a whole link, by rtnetlink(7).

The kernel's own routing decides, per question: its addresses on any interface, prefixes routed to
it (`ip route add local`), and the broadcast address of each of its networks.
"""

import socket
import struct
from collections.abc import Sequence

from colotrace_proto.messages import Family

from colotrace_agent.model import family_of

# linux/rtnetlink.h
_GET_ROUTE, _NEW_ROUTE = 26, 24
_REQUEST, _ROUTE_DESTINATION = 1, 1
_LOCAL, _BROADCAST, _MULTICAST = 2, 3, 5

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ROUTE = struct.Struct("=8BI")  # family, lengths of prefixes, tos, table, protocol, scope, type, …
_TYPE_AT = _MESSAGE.size + 7
_ATTRIBUTE = struct.Struct("=HH")
_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_KINDS = {_LOCAL: "own", _BROADCAST: "link", _MULTICAST: "link"}
_ANSWER_S = 0.5
_AT_ONCE = 32


def kinds(targets: Sequence[bytes]) -> list[str | None]:
    """For each target "own" if it is the host's own, "link" if the packet would go to all hosts of
    a link, else None. Without netlink nothing is known of any."""
    found: list[str | None] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC) as kernel:
            kernel.settimeout(_ANSWER_S)
            for start in range(0, len(targets), _AT_ONCE):
                found += _kinds(kernel, targets[start : start + _AT_ONCE], first=start)
    except OSError:
        found += [None] * (len(targets) - len(found))
    return found


def _kinds(kernel: socket.socket, targets: Sequence[bytes], *, first: int) -> list[str | None]:
    """The same, for as many as can be asked at once; their questions have numbers from `first`."""
    kernel.send(b"".join(_question(each, first + i) for i, each in enumerate(targets)))
    found: list[str | None] = [None] * len(targets)
    missing = len(targets)
    while missing:
        data = kernel.recv(16_384)
        while len(data) >= _MESSAGE.size:
            length, answer, _, number, _ = _MESSAGE.unpack_from(data)
            if 0 <= number - first < len(targets):
                missing -= 1
                if answer == _NEW_ROUTE:
                    found[number - first] = _KINDS.get(data[_TYPE_AT])
            data = data[max((length + 3) & ~3, _MESSAGE.size) :]
    return found


def _question(target: bytes, number: int) -> bytes:
    route = _ROUTE.pack(_FAMILIES[family_of(target)], len(target) * 8, 0, 0, 0, 0, 0, 0, 0)
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(target), _ROUTE_DESTINATION) + target
    length = _MESSAGE.size + len(route) + len(attribute)
    return _MESSAGE.pack(length, _GET_ROUTE, _REQUEST, number, 0) + route + attribute
