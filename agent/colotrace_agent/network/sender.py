"""Sends probes in batches and reads the kernel's time stamp of each.

Since Linux 6.13 the sender chooses the numbers of its stamps (see `departures`), so that each stamp
identifies its probe. In older kernels the socket counts, and not every failed send is counted
(EPERM from a firewall is, EMSGSIZE is not). The counter is therefore reset after each failure.
Packets numbered before the reset may still be sent later, for instance when neighbour discovery
ends. For that time, stamps with such a number are ignored.
"""

import errno
import socket
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from colotrace_agent.model import Probe

from . import clock
from .departures import CONTROL, RESET_STAMPING, STAMPING, few_stamps_in
from .flowroutes import NextHop
from .mmsg import FROM_ERROR_QUEUE, Incoming, Outgoing, sockaddr
from .sockets import SO_TIMESTAMPING
from .support import kernel_takes_numbers

SLOTS = 128
"""Packets in one system call, and greatest number sent before stamps are read."""
LARGEST_PROBE = 128

# Bounds the memory for stamps that never come.
_MOST_AWAITED = 8_192

# The kernel may send a packet this much later: after neighbour discovery (3 s by default), or after
# waiting in a queue.
_LINGERING_NS = 5_000_000_000


class Departure(NamedTuple):
    """Result of `send` for a probe: the time when the kernel took it, and an errno or 0."""

    probe: Probe
    at: int
    error: int


class Stamp(NamedTuple):
    """The kernel's time stamp of a sent probe; `at` is None if the wall clock was set in the
    meantime, so that the stamp cannot be converted."""

    probe: Probe
    at: int | None


class _Awaited(NamedTuple):
    probe: Probe
    not_before: int
    shared: bool = False
    """An earlier packet may still be stamped with the same number."""


class Sender:
    """Sends one family's probes through a raw socket, which it owns."""

    def __init__(
        self, sock: socket.socket, wall: clock.WallClock, *, numbered: bool | None = None
    ) -> None:
        """`numbered` says whether the sender numbers its stamps; None: if the kernel supports
        it."""
        self._sock = sock
        self._times = clock.StampedQueue(wall)
        self._numbered = kernel_takes_numbers() if numbered is None else numbered
        self._out = Outgoing(
            slots=SLOTS, size=LARGEST_PROBE, numbered=self._numbered, family=sock.family
        )
        self._queue = Incoming(slots=SLOTS, size=8, control=CONTROL)
        self._awaited: dict[int, _Awaited] = {}
        self._number = 0
        self._lingering: dict[int, int] = {}  # number -> until when an old stamp may come
        self._read: list[Stamp] = []
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPING)

    def send(
        self,
        packets: Sequence[tuple[Probe, bytearray]],
        hops: Sequence[NextHop] | None = None,
    ) -> list[Departure]:
        """Send at most `SLOTS` packets, each to its next hop. Without `hops` the kernel routes them
        by their target."""
        for slot, (probe, packet) in enumerate(packets):
            address = sockaddr(probe.flow.target if hops is None else hops[slot].address)
            self._out.put(slot, packet, address=address, number=self._number_of(slot))
        if hops is None:
            self._out.clear_routing()
        else:
            routing = np.array([(hop.interface, hop.protocol) for hop in hops], np.int32)
            self._out.set_routing(routing[:, 0], routing[:, 1])
        departures: list[Departure] = []
        first, end = 0, len(packets)
        while first < end:
            at = clock.now()
            try:
                sent = self._out.send(self._sock, first=first, end=end)
            except OSError as error:
                number = error.errno or errno.EIO
                departures.append(Departure(packets[first][0], at, number))
                first += 1
                self._reset_counter()
                continue
            for slot in range(first, first + sent):
                probe = packets[slot][0]
                self._await(probe, not_before=at, slot=slot)
                departures.append(Departure(probe, at, 0))
            first += sent
            if first < end:  # the next packet failed, but may succeed when retried
                self._reset_counter()
        if self._numbered:
            self._number = self._number_of(end)
        return departures

    def stamps(self) -> list[Stamp]:
        """New time stamps of sent probes."""
        if not self._awaited and not self._read:
            self._times.was_empty(clock.now())
            return []
        before, self._read = self._read, []
        return before + self._read_queue()

    def close(self) -> None:
        """Closes the socket."""
        self._sock.close()

    def _read_queue(self) -> list[Stamp]:
        stamps: list[Stamp] = []
        count = SLOTS
        while count == SLOTS:
            self._times.begin()
            count = self._queue.receive(self._sock, flags=FROM_ERROR_QUEUE)
            if count:
                stamps += self._stamps_in_queue(count)
        self._times.emptied()
        return stamps

    def _stamps_in_queue(self, count: int) -> list[Stamp]:
        stamps: list[Stamp] = []
        offset, now = self._times.offset(), clock.now()
        for number, left_at in few_stamps_in(self._queue, count, offset or 0):
            awaited = self._awaited.pop(number, None)
            if awaited is not None and not awaited.shared:
                right = offset is not None and awaited.not_before <= left_at <= now
                stamps.append(Stamp(awaited.probe, left_at if right else None))
        return stamps

    def _number_of(self, slot: int) -> int:
        return (self._number + slot) % (1 << 32)

    def _await(self, probe: Probe, *, not_before: int, slot: int) -> None:
        if self._numbered:
            number, shared = self._number_of(slot), False
        else:
            number, self._number = self._number, self._number_of(1)
            shared = not_before < self._lingering.get(number, 0)
        self._awaited[number] = _Awaited(probe, not_before, shared)
        if len(self._awaited) > _MOST_AWAITED:
            del self._awaited[next(iter(self._awaited))]

    def _reset_counter(self) -> None:
        """Reset the socket's counter after a failure, which may or may not have been counted."""
        if self._numbered:
            return
        # Stamps in the queue have numbers from before the reset.
        self._read += self._read_queue()
        now = clock.now()
        self._lingering = {each: until for each, until in self._lingering.items() if until > now}
        # Twice the time, since packets that reuse such a number may be delayed in turn.
        self._lingering |= dict.fromkeys(self._awaited, now + 2 * _LINGERING_NS)
        self._awaited.clear()
        for flags in RESET_STAMPING:
            self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
        self._number = 0
