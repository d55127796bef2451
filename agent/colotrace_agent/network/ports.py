"""Source ports for UDP and TCP probes.

A bound socket reserves each port, so that no other program of the host uses it. No socket listens
on it: the kernel answers a SYN-ACK with a reset, so that no half-open connection stays at the
target.
"""

import socket
from collections import Counter, OrderedDict
from contextlib import suppress

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.packets.formats import FORMATS

from .rtnetlink import FAMILIES

_MOST_HELD = 1_024
_MOST_IDLE = 64

PortKey = tuple[PacketType, Family, int]


class Ports:
    """The ports that the agent holds. Traces to different targets may share a port."""

    def __init__(self) -> None:
        self._sockets: dict[PortKey, socket.socket] = {}
        self._users: Counter[PortKey] = Counter()
        self._idle: OrderedDict[PortKey, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sockets)

    def reserve(self, packet_type: PacketType, family: Family, port: int) -> bool:
        """Reserve a port for a trace; False if the host uses it, or too many are held."""
        key = (packet_type, family, port)
        if key not in self._sockets and not self._hold(key):
            return False
        self._users[key] += 1
        self._idle.pop(key, None)
        return True

    def release(self, packet_type: PacketType, family: Family, port: int) -> None:
        """End a trace's use of the port."""
        key = (packet_type, family, port)
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self._idle[key] = None
            if len(self._idle) > _MOST_IDLE:
                self._drop(next(iter(self._idle)))

    def close(self) -> None:
        """Release all ports."""
        for key in list(self._sockets):
            self._drop(key)

    def _hold(self, key: PortKey) -> bool:
        if len(self._sockets) >= _MOST_HELD:
            return False
        packet_type, family, port = key
        ports = FORMATS[packet_type].ports
        if ports is None:
            raise ValueError(f"{packet_type} has no ports")
        sock = socket.socket(FAMILIES[family], ports.socket_kind)
        try:
            if family is Family.IPV6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # It is never read, so it needs no buffer.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
            sock.bind(("", port))
        except OSError:
            sock.close()
            return False
        self._sockets[key] = sock
        return True

    def _drop(self, key: PortKey) -> None:
        self._idle.pop(key, None)
        with suppress(OSError):
            self._sockets.pop(key).close()
