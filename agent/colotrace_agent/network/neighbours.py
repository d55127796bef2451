"""Finds a next hop that does not answer neighbour discovery (ARP, NDP).

Used only for traces whose probes were not sent. It takes two requests to the kernel, a few
microseconds each.
"""

import socket
import struct

from colotrace_agent.model import MissingNeighbour, family_of

from .flowroutes import NextHop
from .rtnetlink import FAMILIES, GET_ROUTE, Kernel, Route, attribute, route_question

# linux/rtnetlink.h, linux/neighbour.h
_GET_NEIGHBOUR = 30
_NEIGHBOUR_ADDRESS = 1
_INCOMPLETE, _FAILED = 0x01, 0x20

_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, interface, state, flags, type


def missing_neighbour(target: bytes, hop: NextHop | None = None) -> MissingNeighbour | None:
    """The next hop to the target, if it does not answer neighbour discovery. None if it answers, or
    if the kernel does not report its state. Without `hop`, the next hop is looked up by the
    target's address.
    """
    try:
        with Kernel() as kernel:
            if hop is None:
                route = Route.of(kernel.ask(GET_ROUTE, route_question(target)))
                hop = NextHop(route.via or route.gateway or target, route.interface, 0)
            family = FAMILIES[family_of(hop.address)]
            question = _NEIGHBOUR.pack(family, hop.interface, 0, 0, 0)
            question += attribute(_NEIGHBOUR_ADDRESS, hop.address)
            state = _NEIGHBOUR.unpack_from(kernel.ask(_GET_NEIGHBOUR, question))[2]
            if not state & (_INCOMPLETE | _FAILED):
                return None
            return MissingNeighbour(hop.address, socket.if_indextoname(hop.interface))
    except OSError:
        return None
