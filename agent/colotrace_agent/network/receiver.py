"""Receives packets from one raw socket in batches, with kernel time stamps."""

import socket
import struct
import sys
from collections.abc import Collection
from itertools import repeat
from typing import NamedTuple

from colotrace_proto.messages import PacketType

from colotrace_agent.packets.formats import FORMATS

from . import clock
from .filters import attach
from .mmsg import Incoming
from .sockets import SO_TIMESTAMPNS, park, unpark

SLOTS = 128
LARGEST_ANSWER = 2_048  # more than any quote of our probes

# struct cmsghdr and struct timespec.
_STAMP = struct.Struct("=8xQqq")
_LEVEL_AND_TYPE = int.from_bytes(
    struct.pack("=ii", socket.SOL_SOCKET, SO_TIMESTAMPNS), sys.byteorder
)
_NO_ADDRESS = (b"", 0)


class Packet(NamedTuple):
    """A received packet. `responder` is the sender's address for IPv6, whose sockets omit the IP
    header. `link` is the interface index of a link-local sender, else 0. `at` is the time of
    arrival, `read_at` the time of the read."""

    data: bytes
    responder: bytes
    link: int
    at: int
    read_at: int


def room() -> Incoming:
    """Buffers, which several receivers may share."""
    return Incoming(slots=SLOTS, size=LARGEST_ANSWER, control=_STAMP.size)


class Receiver:
    """Reads from a socket, which it owns, into shared buffers."""

    def __init__(self, sock: socket.socket, wall: clock.WallClock, buffers: Incoming) -> None:
        self._sock = sock
        self._ipv6 = sock.family == socket.AF_INET6
        self.queue = clock.StampedQueue(wall)
        """How far the packets have been read."""
        self._buffers = buffers

    def park(self) -> None:
        """Stop receiving; for taps only."""
        park(self._sock)

    def unpark(self) -> None:
        """Start receiving again."""
        unpark(self._sock)

    def keep_ports(self, packet_type: PacketType, ports: Collection[int]) -> None:
        """Receive packets to these ports only; no change for taps of types without ports."""
        tap = FORMATS[packet_type].tap
        if tap is not None and FORMATS[packet_type].ports:
            attach(self._sock, tap.program(ip_header=not self._ipv6, ports=ports))

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def receive(self) -> list[Packet]:
        """Up to `SLOTS` waiting packets."""
        buffers, queue = self._buffers, self.queue
        queue.begin()
        count = buffers.receive(self._sock)
        if not count:
            queue.emptied()
            return []
        offset, read_at = queue.offset(), clock.now()
        at, packets = read_at, []
        addresses = buffers.addresses(count) if self._ipv6 else repeat(_NO_ADDRESS)
        for (room, data), (kind, seconds, nanoseconds), (responder, link) in zip(
            buffers.received(count), buffers.controls(_STAMP, count), addresses, strict=False
        ):
            at = read_at
            if offset is not None and room == _STAMP.size and kind == _LEVEL_AND_TYPE:
                # A stamp from the future was made before the wall clock was set.
                at = min(seconds * 1_000_000_000 + nanoseconds + offset, read_at)
            packets.append(Packet(data, responder, link, at, read_at))
        if count < SLOTS:
            queue.emptied()
        else:
            queue.not_emptied(at if at < read_at else None)
        return packets

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()
