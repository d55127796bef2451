"""Hears what comes in on one raw socket, in batches, each packet with the kernel's stamp."""

import socket
import struct
import sys
from typing import NamedTuple

from . import clock
from .mmsg import Incoming
from .sockets import SO_RXQ_OVFL, SO_TIMESTAMPNS, park, unpark

SLOTS = 128
LARGEST_ANSWER = 2_048  # more than any quote of a probe of ours

# struct cmsghdr and struct timespec; then, if packets were lost, struct cmsghdr and their number.
_STAMP = struct.Struct("=QiiqQ")
_LOST = struct.Struct("=QiiI")
_LOST_AT = 32
_CONTROL = 64
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
    return Incoming(slots=SLOTS, size=LARGEST_ANSWER, control=_CONTROL)


class Receiver:
    """Reads from a socket, which it owns, into buffers that it shares with others."""

    def __init__(self, sock: socket.socket, wall: clock.WallClock, buffers: Incoming) -> None:
        self.overflows = 0
        """Packets that found the socket's queue full, so far: the host's own loss."""
        self._sock = sock
        self._wall = wall
        self._buffers = buffers

    def park(self) -> None:
        """Hears nothing from now on; a tap only."""
        park(self._sock)

    def unpark(self) -> None:
        """Hears again."""
        unpark(self._sock)

    def fileno(self) -> int:
        """For whoever waits until there is something to read."""
        return self._sock.fileno()

    def receive(self) -> list[Packet]:
        """Up to `SLOTS` packets that have come in."""
        buffers = self._buffers
        count = buffers.receive(self._sock)
        if not count:
            return []
        offset, read_at = self._wall.offset(), clock.now()
        packets = []
        for slot in range(count):
            at = self._arrival(slot, offset, read_at)
            name = buffers.names[slot, _ADDRESS_AND_SCOPE].tobytes()
            link = int.from_bytes(name[16:], sys.byteorder)
            packets.append(Packet(buffers.packet(slot), name[:16], link, at, read_at))
        return packets

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()

    def _arrival(self, slot: int, offset: int | None, read_at: int) -> int:
        control = self._buffers.control_of(slot)
        if len(control) >= _LOST_AT + _LOST.size:
            _, level, kind, lost = _LOST.unpack_from(control, _LOST_AT)
            if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL):
                self.overflows = lost
        if offset is None or len(control) < _STAMP.size:
            return read_at
        _, level, kind, seconds, nanoseconds = _STAMP.unpack_from(control)
        if (level, kind) != (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            return read_at
        at = int(seconds) * 1_000_000_000 + int(nanoseconds) + offset
        # A stamp from the future is of another clock than the one just read.
        return at if at <= read_at else read_at
