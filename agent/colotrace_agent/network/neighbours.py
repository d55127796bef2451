"""Whether the host can reach the next hop to a target at all, by its routes and neighbours.

Asked only of traces whose probes did not leave: two questions to the kernel, a few microseconds
each.
"""

import socket
import struct
from typing import NamedTuple

from colotrace_agent.model import family_of

from .rtnetlink import FAMILIES, Kernel, attribute, attributes

# linux/rtnetlink.h, linux/neighbour.h.
_GET_ROUTE, _GET_NEIGHBOUR = 26, 30
_ROUTE_DESTINATION, _ROUTE_INTERFACE, _ROUTE_GATEWAY, _ROUTE_VIA = 1, 4, 5, 18
_NEIGHBOUR_ADDRESS = 1
_INCOMPLETE, _FAILED = 0x01, 0x20

_ROUTE = struct.Struct("=8BI")  # family, lengths of the prefixes, and what a question leaves 0
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, interface, state, flags, type


class Missing(NamedTuple):
    """A next hop whose link address the kernel asked for in vain: its address, and where."""

    address: bytes
    interface: str

    def __str__(self) -> str:
        """In words, for messages."""
        family = FAMILIES[family_of(self.address)]
        return f"nobody is {socket.inet_ntop(family, self.address)} on {self.interface}"


def missing_neighbour(target: bytes) -> Missing | None:
    """The next hop to the target, if it does not answer as a neighbour; None where it does, or
    where the kernel does not say."""
    try:
        with Kernel() as kernel:
            return _missing(kernel, target)
    except OSError:
        return None


def _missing(kernel: Kernel, target: bytes) -> Missing | None:
    family = int(FAMILIES[family_of(target)])
    question = _ROUTE.pack(family, len(target) * 8, 0, 0, 0, 0, 0, 0, 0)
    route = kernel.ask(_GET_ROUTE, question + attribute(_ROUTE_DESTINATION, target))
    known = dict(attributes(route.body[_ROUTE.size :]))
    if _ROUTE_VIA in known:  # a next hop of the other family: its family's number, its address
        family, address = struct.unpack_from("=H", known[_ROUTE_VIA])[0], known[_ROUTE_VIA][2:]
    else:
        address = known.get(_ROUTE_GATEWAY, target)
    (interface,) = struct.unpack("=i", known[_ROUTE_INTERFACE])
    question = _NEIGHBOUR.pack(family, interface, 0, 0, 0)
    neighbour = kernel.ask(_GET_NEIGHBOUR, question + attribute(_NEIGHBOUR_ADDRESS, address))
    state = _NEIGHBOUR.unpack_from(neighbour.body)[2]
    if not state & (_INCOMPLETE | _FAILED):
        return None
    return Missing(address, socket.if_indextoname(interface))
