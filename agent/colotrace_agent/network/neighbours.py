"""Finds a next hop that does not answer neighbour discovery (ARP, NDP).

Used only for traces whose probes were not sent. It takes two requests to the kernel, a few
microseconds each.
"""

import socket
import struct

from colotrace_agent.model import MissingNeighbour, family_of

from .flowroutes import NextHop
from .rtnetlink import FAMILIES, Kernel, attribute, attributes

# linux/rtnetlink.h, linux/neighbour.h.
_GET_ROUTE, _GET_NEIGHBOUR = 26, 30
_ROUTE_DESTINATION, _ROUTE_INTERFACE, _ROUTE_GATEWAY, _ROUTE_VIA = 1, 4, 5, 18
_NEIGHBOUR_ADDRESS = 1
_INCOMPLETE, _FAILED = 0x01, 0x20

_ROUTE = struct.Struct("=8BI")  # family, prefix lengths, and fields that are 0 in a request
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, interface, state, flags, type


def missing_neighbour(target: bytes, hop: NextHop | None = None) -> MissingNeighbour | None:
    """The next hop to the target, if it does not answer neighbour discovery. None if it answers, or
    if the kernel does not report its state. Without `hop`, the next hop is looked up by the
    target's address.
    """
    try:
        with Kernel() as kernel:
            if hop is not None:
                return _missing_at(kernel, hop.address, hop.interface)
            return _missing(kernel, target)
    except OSError:
        return None


def _missing(kernel: Kernel, target: bytes) -> MissingNeighbour | None:
    family = FAMILIES[family_of(target)]
    question = _ROUTE.pack(family, len(target) * 8, 0, 0, 0, 0, 0, 0, 0)
    route = kernel.ask(_GET_ROUTE, question + attribute(_ROUTE_DESTINATION, target))
    known = dict(attributes(route.body[_ROUTE.size :]))
    address = known.get(_ROUTE_GATEWAY, target)
    if _ROUTE_VIA in known:  # a next hop of the other family: family number and address
        address = known[_ROUTE_VIA][2:]
    (interface,) = struct.unpack("=i", known[_ROUTE_INTERFACE])
    return _missing_at(kernel, address, interface)


def _missing_at(kernel: Kernel, address: bytes, interface: int) -> MissingNeighbour | None:
    family = FAMILIES[family_of(address)]
    question = _NEIGHBOUR.pack(family, interface, 0, 0, 0)
    neighbour = kernel.ask(_GET_NEIGHBOUR, question + attribute(_NEIGHBOUR_ADDRESS, address))
    state = _NEIGHBOUR.unpack_from(neighbour.body)[2]
    if not state & (_INCOMPLETE | _FAILED):
        return None
    return MissingNeighbour(address, socket.if_indextoname(interface))
