"""Hears what comes in on one raw socket, in batches, each packet with the kernel's stamp."""

import socket
import struct
import sys
from collections.abc import Collection
from typing import NamedTuple

from colotrace_proto.messages import PacketType

from . import clock
from .filters import keep_tcp_answers, keep_udp_answers
from .mmsg import Incoming
from .sockets import SO_TIMESTAMPNS, park, unpark

SLOTS = 128
LARGEST_ANSWER = 2_048  # more than any quote of a probe of ours

# struct cmsghdr and struct timespec.
_STAMP = struct.Struct("=QiiqQ")
_ADDRESS_AND_SCOPE = slice(8, 28)  # in struct sockaddr_in6


class Packet(NamedTuple):
    """A packet as it came in. `responder` is its sender's address where the socket keeps the IP
    header to itself, as IPv6's do; `link` the index of the interface if that address is
    link-local, else 0. `at` is when it arrived, `read_at` when it was read."""

    data: bytes
    responder: bytes
    link: int
    at: int
    read_at: int


def room() -> Incoming:
    """Buffers for receivers, which may share them."""
    return Incoming(slots=SLOTS, size=LARGEST_ANSWER, control=_STAMP.size)


class Receiver:
    """Reads from a socket, which it owns, into buffers that it shares with others."""

    def __init__(self, sock: socket.socket, wall: clock.WallClock, buffers: Incoming) -> None:
        self._sock = sock
        self._queue = clock.StampedQueue(wall)
        self._buffers = buffers

    @property
    def heard_until(self) -> int:
        """What arrived before that has been received."""
        return self._queue.heard_until

    def park(self) -> None:
        """Hears nothing from now on; a tap only."""
        park(self._sock)

    def unpark(self) -> None:
        """Hears again."""
        unpark(self._sock)

    def keep_ports(self, packet_type: PacketType, ports: Collection[int]) -> None:
        """Hears what comes to these ports only; a tap of UDP or TCP only."""
        keep = keep_tcp_answers if packet_type is PacketType.TCP else keep_udp_answers
        keep(self._sock, ports)

    def fileno(self) -> int:
        """For whoever waits until there is something to read."""
        return self._sock.fileno()

    def receive(self) -> list[Packet]:
        """Up to `SLOTS` packets that have come in."""
        buffers, queue = self._buffers, self._queue
        queue.begin()
        count = buffers.receive(self._sock)
        if not count:
            queue.emptied()
            return []
        offset, read_at = queue.offset(), clock.now()
        packets = []
        for slot in range(count):
            at = self._arrival(slot, offset, read_at)
            name = buffers.names[slot, _ADDRESS_AND_SCOPE].tobytes()
            link = int.from_bytes(name[16:], sys.byteorder)
            packets.append(Packet(buffers.packet(slot), name[:16], link, at, read_at))
        if count < SLOTS:
            queue.emptied()
        else:
            queue.goes_on(at if at < read_at else None)
        return packets

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()

    def _arrival(self, slot: int, offset: int | None, read_at: int) -> int:
        control = self._buffers.control_of(slot)
        if offset is None or len(control) < _STAMP.size:
            return read_at
        _, level, kind, seconds, nanoseconds = _STAMP.unpack_from(control)
        if (level, kind) != (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            return read_at
        at = int(seconds) * 1_000_000_000 + int(nanoseconds) + offset
        # A stamp from the future is of another clock than the one just read.
        return at if at <= read_at else read_at
