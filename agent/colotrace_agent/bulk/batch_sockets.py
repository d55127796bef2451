"""Sends, stamps and receives packets in batches, as rows of arrays without an object for each.

A process uses either these or `network.sender` and `network.receiver` on the raw sockets. Time
stamps need a kernel that accepts the sender's numbers for them (Linux 6.13).
"""

import errno
import socket
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from colotrace_agent.network import clock
from colotrace_agent.network.departures import CONTROL, STAMPING, stamps_in
from colotrace_agent.network.mmsg import FROM_ERROR_QUEUE, Incoming, Outgoing
from colotrace_agent.network.receiver import LARGEST_ANSWER
from colotrace_agent.network.sender import LARGEST_PROBE
from colotrace_agent.network.sockets import SO_TIMESTAMPING, SO_TIMESTAMPNS

from .arrays import Bytes, Flags, Numbers

ROWS = 1024
"""Maximum of packets in one system call."""
_RING = 1 << 16  # maximum of awaited stamps
_STAMP_ROOM = 1024  # a little more than the kernel charges for a queued stamp
_CONTROL = 32  # a stamp's: struct cmsghdr and struct timespec
_STAMPED = np.array([socket.SOL_SOCKET, SO_TIMESTAMPNS], np.int32).view(np.uint64)[0]
_SOCKADDR_IN, _SOCKADDR_IN6 = 16, 28


class Stamps(NamedTuple):
    """The kernel's departure times of packets. `right` is False for impossible ones."""

    tickets: Numbers
    at: Numbers
    right: Flags


class Routing(NamedTuple):
    """Interface and protocol by which packets are routed, one a row; see `Outgoing.set_routing`."""

    interfaces: npt.NDArray[np.int32]
    protocols: npt.NDArray[np.int32]


class RowSender:
    """Sends one family's packets."""

    def __init__(self, sock: socket.socket, wall: clock.WallClock) -> None:
        self._sock = sock
        self._queue = clock.StampedQueue(wall)
        room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _STAMP_ROOM
        self.most = max(min(ROWS, room), 1)
        """Packets that can be sent at once; the queue must hold their stamps."""
        self._out = Outgoing(slots=self.most, size=LARGEST_PROBE, numbered=True, family=sock.family)
        self._stamps = Incoming(slots=self.most, size=8, control=CONTROL)
        self._ipv4 = sock.family == socket.AF_INET
        names = self._out.names
        names[:, :2] = np.frombuffer(np.uint16(sock.family).tobytes(), np.uint8)
        self._out.lengths_of_names[:] = _SOCKADDR_IN if self._ipv4 else _SOCKADDR_IN6
        self._number = 0
        # By number: the packet's ticket (-1 after its stamp), and the time of the system call.
        self._tickets = np.full(_RING, -1, np.int64)
        self._not_before = np.zeros(_RING, np.int64)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPING)

    def send(
        self,
        packets: Bytes,
        addresses: Bytes,
        tickets: Numbers,
        *,
        routing: Routing | None = None,
    ) -> tuple[Numbers, dict[int, int]]:
        """Sends at most `most` packets, each to its target or next hop. Returns the time of each
        system call, and the errno of rows that failed."""
        count, size = packets.shape
        out = self._out
        out.packets[:count, :size] = packets
        out.sizes[:count] = size
        if self._ipv4:
            out.names[:count, 4:8] = addresses
        else:
            out.names[:count, 8:24] = addresses
        if routing is None:
            out.clear_routing()
        else:
            out.set_routing(*routing)
        numbers = (self._number + np.arange(count)) % (1 << 32)
        out.numbers[:count] = numbers
        at = np.zeros(count, np.int64)
        failed: dict[int, int] = {}
        first = 0
        while first < count:
            now = clock.now()
            try:
                sent = out.send(self._sock, first=first, end=count)
            except OSError as error:
                failed[first] = error.errno or errno.EIO
                sent = 1
            at[first : first + sent] = now
            first += sent
        self._number = (self._number + count) % (1 << 32)
        places = numbers % _RING
        self._tickets[places] = tickets
        self._tickets[places[list(failed)]] = -1
        self._not_before[places] = at
        return at, failed

    def stamps(self) -> Stamps | None:
        """The departures that the kernel reported since the last call; None if there are none."""
        found = []
        while count := self._receive():
            offset, now = self._queue.offset(), clock.now()
            numbers, at = stamps_in(self._stamps, count, offset or 0)
            places = numbers % _RING
            tickets, not_before = self._tickets[places], self._not_before[places]
            self._tickets[places] = -1
            right = (not_before <= at) & (at <= now) & (offset is not None)
            known = tickets >= 0
            found.append(Stamps(tickets[known], at[known], right[known]))
        if not found:
            return None
        return Stamps(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def _receive(self) -> int:
        self._queue.begin()
        count = self._stamps.receive(self._sock, flags=FROM_ERROR_QUEUE)
        if not count:
            self._queue.emptied()
        return count


class Batch(NamedTuple):
    """Received packets, one a row; valid until the next batch. For IPv6, `senders` and `links` are
    the sender's address, and its interface's index if that is link-local."""

    packets: Bytes
    lengths: Numbers
    senders: Bytes
    links: npt.NDArray[np.uint32]
    at: Numbers
    read_at: int


class RowReceiver:
    """Reads from a socket, which it owns, into shared buffers."""

    def __init__(self, sock: socket.socket, wall: clock.WallClock, buffers: Incoming) -> None:
        self.sock = sock
        self.queue = clock.StampedQueue(wall)
        self._buffers = buffers

    def receive(self) -> Batch | None:
        """Up to `ROWS` received packets; None if there are none."""
        buffers, queue = self._buffers, self.queue
        queue.begin()
        count = buffers.receive(self.sock)
        if not count:
            queue.emptied()
            return None
        offset, read_at = queue.offset(), clock.now()
        control = buffers.control[:count]
        kind = np.ascontiguousarray(control[:, 8:16]).view(np.uint64)[:, 0]
        stamp = np.ascontiguousarray(control[:, 16:32]).view(np.int64)
        at = stamp[:, 0] * 1_000_000_000 + stamp[:, 1] + (offset or 0)
        good = (kind == _STAMPED) & (at <= read_at) & (offset is not None)
        if count < ROWS:
            queue.emptied()
        else:
            queue.not_emptied(int(at[-1]) if good[-1] else None)
        names = buffers.names[:count]
        return Batch(
            buffers.packets[:count],
            buffers.lengths[:count].astype(np.int64),
            names[:, 8:24],
            np.ascontiguousarray(names[:, 24:28]).view(np.uint32)[:, 0],
            np.where(good, at, read_at),
            read_at,
        )


def room() -> Incoming:
    """Buffers that receivers may share."""
    return Incoming(slots=ROWS, size=LARGEST_ANSWER, control=_CONTROL)
