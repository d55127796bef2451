"""sendmmsg(2) and recvmmsg(2): many packets for one system call, out of and into fixed buffers.

The kernel's structures are numpy arrays of the same layout, so a batch is laid out once and only
what differs from packet to packet is written. Linux on 64-bit machines only, as is the rest.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

# struct mmsghdr, struct iovec and struct cmsghdr of 64-bit Linux.
_MMSGHDR = np.dtype(
    {
        "names": ["name", "namelen", "iov", "iovlen", "control", "controllen", "flags", "len"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
_IOVEC = np.dtype([("base", "u8"), ("len", "u8")])
CMSG_HEADER = np.dtype([("len", "u8"), ("level", "i4"), ("type", "i4")])

_NAME_ROOM = 32  # a sockaddr_in6 has 28 bytes
SCM_TS_OPT_ID = 81
IP_PROTOCOL = 52
_IP_PKTINFO, _IPV6_PKTINFO = 8, 50
# Ancillary data, padded; the second by whether it is IPv4's.
_NUMBER_ROOM, _INFO_ROOM, _PROTOCOL_ROOM = 24, {True: 32, False: 40}, 24
_ROUTING_ROOM = _INFO_ROOM[True] + _PROTOCOL_ROOM
_SOCKADDR_IN = struct.Struct("=HH4s8x")
_SOCKADDR_IN6 = struct.Struct("=HHI16sI")
_IPV6_NAME = struct.Struct("=8x16sI4x")  # one of them in `_NAME_ROOM`

_RECEIVED = struct.Struct("=40xQ8xI4x")  # a header's controllen and len
_LENGTH = struct.Struct("=Q")
_NAME_LENGTH = struct.Struct("=I")
_NUMBER = struct.Struct("=I")

_DONT_WAIT = int(socket.MSG_DONTWAIT)  # or-ing the enumeration's members takes a microsecond
FROM_ERROR_QUEUE = int(socket.MSG_ERRQUEUE)
"""A flag for `Incoming.receive`."""

_libc = ctypes.CDLL(None, use_errno=True)


def sockaddr(address: bytes) -> bytes:
    """The packed address as the kernel takes it for a raw socket: no port."""
    if len(address) == 4:
        return _SOCKADDR_IN.pack(socket.AF_INET, 0, address)
    return _SOCKADDR_IN6.pack(socket.AF_INET6, 0, 0, address, 0)


class _Batch:
    """Headers and buffers of `slots` messages, each pointing at its own places for good."""

    def __init__(self, *, slots: int, size: int, control: int) -> None:
        self.slots = slots
        self.packets: npt.NDArray[np.uint8] = np.zeros((slots, size), np.uint8)
        """The packets' bytes, one row a slot."""
        self.names: npt.NDArray[np.uint8] = np.zeros((slots, _NAME_ROOM), np.uint8)
        """The peers' addresses as `struct sockaddr`."""
        self.control: npt.NDArray[np.uint8] = np.zeros((slots, control), np.uint8)
        """Ancillary data."""
        self._iovecs = np.zeros(slots, _IOVEC)
        self._headers = np.zeros(slots, _MMSGHDR)
        each = np.arange(slots, dtype=np.uint64)
        self._iovecs["base"] = self.packets.ctypes.data + each * size
        self._iovecs["len"] = size
        self._headers["iov"] = self._iovecs.ctypes.data + each * _IOVEC.itemsize
        self._headers["iovlen"] = 1
        self._headers["name"] = self.names.ctypes.data + each * _NAME_ROOM
        self._headers["control"] = self.control.ctypes.data + each * control
        self._headers["controllen"] = control
        self._headers_at: int = self._headers.ctypes.data
        # A few bytes at a time are written faster through these than through numpy.
        self._packet_bytes = self.packets.data.cast("B")
        self._name_bytes = self.names.data.cast("B")
        self._control_bytes = self.control.data.cast("B")
        self._iovec_bytes = self._iovecs.view(np.uint8).data
        self._header_bytes = self._headers.view(np.uint8).data

    def _address(self, slot: int) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._headers_at + slot * _MMSGHDR.itemsize)


class Outgoing(_Batch):
    """Packets to be sent by one system call; with `numbered`, each with the number that its
    time stamp will come back with (SCM_TS_OPT_ID). Behind the number is room for what a packet's
    routing shall heed: an interface (IP_PKTINFO, IPV6_PKTINFO), and a protocol (IP_PROTOCOL, and
    in IPv6 the address's port)."""

    def __init__(
        self, *, slots: int, size: int, numbered: bool, family: socket.AddressFamily
    ) -> None:
        super().__init__(slots=slots, size=size, control=_NUMBER_ROOM + _ROUTING_ROOM)
        self._numbered = _NUMBER_ROOM if numbered else 0
        self._ipv4 = family == socket.AF_INET
        routing = self.control[:, _NUMBER_ROOM:]
        info = routing[:, :16].view(CMSG_HEADER)
        if self._ipv4:
            info["len"], info["level"], info["type"] = 28, socket.IPPROTO_IP, _IP_PKTINFO
            protocol = routing[:, 32:48].view(CMSG_HEADER)
            protocol["len"], protocol["level"], protocol["type"] = (
                20,
                socket.IPPROTO_IP,
                IP_PROTOCOL,
            )
            self._protocols = routing[:, 48:52].view(np.int32)[:, 0]
        else:
            info["len"], info["level"], info["type"] = 36, socket.IPPROTO_IPV6, _IPV6_PKTINFO
        at = 16 if self._ipv4 else 32
        self._interfaces = routing[:, at : at + 4].view(np.int32)[:, 0]
        self._ports = self.names[:, 2:4].view(">u2")[:, 0]
        self._control_lengths = self._headers["controllen"]
        self._routed = False
        header = self.control[:, :16].view(CMSG_HEADER)
        header["len"], header["level"], header["type"] = 20, socket.SOL_SOCKET, SCM_TS_OPT_ID
        self.numbers = self.control[:, 16:20].view(np.uint32)[:, 0]
        """Each slot's number."""
        self.sizes = self._iovecs["len"]
        """How long each packet is."""
        self.lengths_of_names = self._headers["namelen"]
        """How long each address is."""
        self._control_lengths[:] = self._numbered
        if not numbered:
            self._headers["control"] += _NUMBER_ROOM

    def put(self, slot: int, packet: bytes | bytearray, *, address: bytes, number: int) -> None:
        """Fills a slot; `address` as from `sockaddr`."""
        start = slot * self.packets.shape[1]
        self._packet_bytes[start : start + len(packet)] = packet
        start = slot * _NAME_ROOM
        self._name_bytes[start : start + len(address)] = address
        _LENGTH.pack_into(self._iovec_bytes, slot * _IOVEC.itemsize + 8, len(packet))
        _NAME_LENGTH.pack_into(self._header_bytes, slot * _MMSGHDR.itemsize + 8, len(address))
        _NUMBER.pack_into(self._control_bytes, slot * self.control.shape[1] + 16, number)

    def leave_by(self, interfaces: npt.NDArray[np.int32], protocols: npt.NDArray[np.int32]) -> None:
        """What the first slots' packets are routed by beside their address, 0 for nothing: an
        interface's index, and a protocol. To be called after `put`; protocols other than 0 only
        if `kernel_takes_protocols`."""
        count = len(interfaces)
        self._routed = True
        self._interfaces[:count] = interfaces
        length = self._numbered + _INFO_ROOM[self._ipv4]
        if self._ipv4:
            self._protocols[:count] = protocols
            self._control_lengths[:count] = length + _PROTOCOL_ROOM * (protocols != 0)
        else:
            self._ports[:count] = protocols
            self._control_lengths[:count] = length

    def leave_freely(self) -> None:
        """All packets are routed by their address alone, as at first."""
        if self._routed:
            self._control_lengths[:] = self._numbered
            self._ports[:] = 0
            self._routed = False

    def send(self, sock: socket.socket, *, first: int, end: int) -> int:
        """Sends slots `first` to `end`, that one excluded; how many have left, at least one.

        Raises:
            OSError: slot `first` could not be sent, and nothing was.
        """
        count: int = _libc.sendmmsg(sock.fileno(), self._address(first), end - first, 0)
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count


class Incoming(_Batch):
    """Room for packets to be received by one system call."""

    def __init__(self, *, slots: int, size: int, control: int) -> None:
        super().__init__(slots=slots, size=size, control=control)
        self.lengths = self._headers["len"]
        """How long each packet is, after `receive`."""
        self._name_lengths, self._control_lengths = (
            self._headers[name] for name in ("namelen", "controllen")
        )
        self._used = slots

    def receive(self, sock: socket.socket, *, flags: int = 0) -> int:
        """Takes what has come in, as far as there is room; how many packets that are.

        0 where there are none, or where the socket had an error to tell (which is then told).
        """
        if self._used:  # where the kernel has written how much of the room it took
            self._name_lengths[: self._used] = _NAME_ROOM
            self._control_lengths[: self._used] = self.control.shape[1]
            self._used = 0
        count: int = _libc.recvmmsg(
            sock.fileno(), self._address(0), self.slots, flags | _DONT_WAIT, None
        )
        if count < 0:
            number = ctypes.get_errno()
            if number == errno.EBADF:
                raise OSError(number, os.strerror(number))
            return 0
        self._used = count
        return count

    def received(self, count: int) -> Iterator[tuple[int, bytes]]:
        """Of the first `count` slots: how long the ancillary data is, and the packet, a copy."""
        at, size = 0, self.packets.shape[1]
        for control, length in _RECEIVED.iter_unpack(
            self._header_bytes[: count * _MMSGHDR.itemsize]
        ):
            yield control, bytes(self._packet_bytes[at : at + length])
            at += size

    def controls(self, layout: struct.Struct, count: int) -> Iterator[tuple[Any, ...]]:
        """The first `count` slots' ancillary data; `layout` is as long as the room for it."""
        return layout.iter_unpack(self._control_bytes[: count * self.control.shape[1]])

    def addresses(self, count: int) -> Iterator[tuple[bytes, int]]:
        """Of the first `count` slots, of IPv6: the sender's address, and its scope, 0 for none."""
        return _IPV6_NAME.iter_unpack(self._name_bytes[: count * _NAME_ROOM])
