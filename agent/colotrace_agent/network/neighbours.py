"""Whether the host can reach the next hop to a target at all: its routes and neighbours, by
rtnetlink(7).

Two questions to the kernel, a few microseconds each, asked only of traces whose probes did not
leave. The library for all of netlink runs an event loop of its own and would be loaded for these.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from colotrace_proto.messages import Family

from colotrace_agent.model import family_of

# linux/rtnetlink.h, linux/neighbour.h.
_GET_ROUTE, _GET_NEIGHBOUR = 26, 30
_NEW_ROUTE, _NEW_NEIGHBOUR = 24, 28
_REQUEST = 1
_ROUTE_DESTINATION, _ROUTE_INTERFACE, _ROUTE_GATEWAY, _ROUTE_VIA = 1, 4, 5, 18
_NEIGHBOUR_ADDRESS = 1
_INCOMPLETE, _FAILED = 0x01, 0x20

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ROUTE = struct.Struct("=8BI")  # family, lengths of the prefixes, and what a question leaves 0
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, interface, state, flags, type
_ATTRIBUTE = struct.Struct("=HH")
_FAMILIES = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_ANSWER_S = 0.1


class Missing(NamedTuple):
    """A next hop whose link address the kernel asked for in vain: its address, and where."""

    address: bytes
    interface: str

    def __str__(self) -> str:
        """In words, for messages."""
        family = _FAMILIES[family_of(self.address)]
        return f"nobody is {socket.inet_ntop(family, self.address)} on {self.interface}"


def missing_neighbour(target: bytes) -> Missing | None:
    """The next hop to the target, if it does not answer as a neighbour; None where it does, or
    where the kernel does not say."""
    try:
        with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)) as kernel:
            kernel.settimeout(_ANSWER_S)
            return _missing(kernel, target)
    except OSError:  # without netlink nothing can be said
        return None


def _missing(kernel: socket.socket, target: bytes) -> Missing | None:
    family = _FAMILIES[family_of(target)]
    question = _ROUTE.pack(family, len(target) * 8, 0, 0, 0, 0, 0, 0, 0)
    route = _ask(kernel, _GET_ROUTE, question + _attribute(_ROUTE_DESTINATION, target), _NEW_ROUTE)
    if route is None:
        return None
    known = dict(_attributes(route[_ROUTE.size :]))
    if _ROUTE_VIA in known:  # a next hop of the other family: its family's number, its address
        family, address = struct.unpack_from("=H", known[_ROUTE_VIA])[0], known[_ROUTE_VIA][2:]
    else:
        address = known.get(_ROUTE_GATEWAY, target)
    (interface,) = struct.unpack("=i", known[_ROUTE_INTERFACE])
    question = _NEIGHBOUR.pack(family, interface, 0, 0, 0)
    question += _attribute(_NEIGHBOUR_ADDRESS, address)
    neighbour = _ask(kernel, _GET_NEIGHBOUR, question, _NEW_NEIGHBOUR)
    if neighbour is None or not _NEIGHBOUR.unpack_from(neighbour)[2] & (_INCOMPLETE | _FAILED):
        return None
    return Missing(address, socket.if_indextoname(interface))


def _ask(kernel: socket.socket, kind: int, question: bytes, answer: int) -> bytes | None:
    """The body of the kernel's answer of that kind; None where it has another, as for errors."""
    kernel.send(_MESSAGE.pack(_MESSAGE.size + len(question), kind, _REQUEST, 1, 0) + question)
    reply = kernel.recv(8_192)
    length, found, _, _, _ = _MESSAGE.unpack_from(reply)
    return reply[_MESSAGE.size : length] if found == answer else None


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[(max(length, _ATTRIBUTE.size) + 3) & ~3 :]
