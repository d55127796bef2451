"""sendmmsg(2) and recvmmsg(2): many packets in one system call, with fixed buffers.

The kernel's structures are numpy arrays of the same layout. They are filled once, and then only
fields that differ between packets are written. For 64-bit Linux only.
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
# Padded sizes of ancillary data.
_NUMBER_ROOM, _INFO_ROOM, _INFO6_ROOM, _PROTOCOL_ROOM = 24, 32, 40, 24
_SOCKADDR_IN = struct.Struct("=HH4s8x")
_SOCKADDR_IN6 = struct.Struct("=HHI16sI")
_IPV6_NAME = struct.Struct("=8x16sI4x")  # a sockaddr_in6, padded to `_NAME_ROOM`

_RECEIVED = struct.Struct("=40xQ8xI4x")  # a header's controllen and len
_LENGTH = struct.Struct("=Q")
_NAME_LENGTH = struct.Struct("=I")
_NUMBER = struct.Struct("=I")

_DONT_WAIT = int(socket.MSG_DONTWAIT)  # or-ing the enumeration's members takes a microsecond
FROM_ERROR_QUEUE = int(socket.MSG_ERRQUEUE)
"""A flag for `Incoming.receive`."""

_libc = ctypes.CDLL(None, use_errno=True)


def sockaddr(address: bytes) -> bytes:
    """The struct sockaddr of a packed address, without a port, for raw sockets."""
    if len(address) == 4:
        return _SOCKADDR_IN.pack(socket.AF_INET, 0, address)
    return _SOCKADDR_IN6.pack(socket.AF_INET6, 0, 0, address, 0)


class _Batch:
    """Headers and buffers of `slots` messages, with fixed pointers."""

    def __init__(self, *, slots: int, size: int, control: int) -> None:
        self.slots = slots
        self.packets: npt.NDArray[np.uint8] = np.zeros((slots, size), np.uint8)
        """The packets' bytes, one row for each slot."""
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
        # Writing a few bytes is faster through these views than through numpy.
        self._packet_bytes = self.packets.data.cast("B")
        self._name_bytes = self.names.data.cast("B")
        self._control_bytes = self.control.data.cast("B")
        self._iovec_bytes = self._iovecs.view(np.uint8).data
        self._header_bytes = self._headers.view(np.uint8).data

    def _address(self, slot: int) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._headers_at + slot * _MMSGHDR.itemsize)


class Outgoing(_Batch):
    """Packets to send with one system call.

    With `numbered`, each packet has the number of its time stamp (SCM_TS_OPT_ID). Routing options
    follow: an interface (IP_PKTINFO, IPV6_PKTINFO) and one of the `protocols` (IP_PROTOCOL; for
    IPv6 the port of the address).
    """

    def __init__(
        self, *, slots: int, size: int, numbered: bool, family: socket.AddressFamily
    ) -> None:
        super().__init__(slots=slots, size=size, control=_NUMBER_ROOM + _INFO_ROOM + _PROTOCOL_ROOM)
        self._numbered = _NUMBER_ROOM if numbered else 0
        routing = self.control[:, _NUMBER_ROOM:]
        info = routing[:, :16].view(CMSG_HEADER)
        if family == socket.AF_INET:
            info[:] = (28, socket.IPPROTO_IP, _IP_PKTINFO)
            routing[:, 32:48].view(CMSG_HEADER)[:] = (20, socket.IPPROTO_IP, IP_PROTOCOL)
            interfaces, self.protocols = routing[:, 16:20], routing[:, 48:52].view(np.int32)[:, 0]
            self._info_room, self._protocol_room = _INFO_ROOM, _PROTOCOL_ROOM
        else:
            info[:] = (36, socket.IPPROTO_IPV6, _IPV6_PKTINFO)
            interfaces, self.protocols = routing[:, 32:36], self.names[:, 2:4].view(">u2")[:, 0]
            self._info_room, self._protocol_room = _INFO6_ROOM, 0
        self._interfaces = interfaces.view(np.int32)[:, 0]
        self._routed = False
        self.control[:, :16].view(CMSG_HEADER)[:] = (20, socket.SOL_SOCKET, SCM_TS_OPT_ID)
        self.numbers = self.control[:, 16:20].view(np.uint32)[:, 0]
        """The number of each slot."""
        self.sizes = self._iovecs["len"]
        """The size of each packet."""
        self.lengths_of_names = self._headers["namelen"]
        """The size of each address."""
        self.lengths_of_control = self._headers["controllen"]
        """The size of each packet's ancillary data."""
        self.lengths_of_control[:] = self._numbered
        if not numbered:
            self._headers["control"] += _NUMBER_ROOM

    def put(self, slot: int, packet: bytes | bytearray, *, address: bytes, number: int) -> None:
        """Fill a slot; `address` is the result of `sockaddr`."""
        start = slot * self.packets.shape[1]
        self._packet_bytes[start : start + len(packet)] = packet
        start = slot * _NAME_ROOM
        self._name_bytes[start : start + len(address)] = address
        _LENGTH.pack_into(self._iovec_bytes, slot * _IOVEC.itemsize + 8, len(packet))
        _NAME_LENGTH.pack_into(self._header_bytes, slot * _MMSGHDR.itemsize + 8, len(address))
        _NUMBER.pack_into(self._control_bytes, slot * self.control.shape[1] + 16, number)

    def set_routing(
        self, interfaces: npt.NDArray[np.int32], protocols: npt.NDArray[np.int32]
    ) -> None:
        """Set interface index and protocol of the first slots for routing, 0 for none. Call it
        after `put`. Protocols other than 0 need `kernel_takes_protocols`."""
        count = len(interfaces)
        self._routed = True
        self._interfaces[:count] = interfaces
        self.protocols[:count] = protocols
        named = self._protocol_room * (protocols != 0)
        self.lengths_of_control[:count] = self._numbered + self._info_room + named

    def clear_routing(self) -> None:
        """Route all packets by their address alone, which is the default."""
        if self._routed:
            self.lengths_of_control[:] = self._numbered
            self.protocols[:] = 0
            self._routed = False

    def send(self, sock: socket.socket, *, first: int, end: int) -> int:
        """Send the slots from `first` to before `end`; the number sent, at least one.

        Raises:
            OSError: slot `first` could not be sent; nothing was sent.
        """
        count: int = _libc.sendmmsg(sock.fileno(), self._address(first), end - first, 0)
        if count < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return count


class Incoming(_Batch):
    """Buffers for packets to receive with one system call."""

    def __init__(self, *, slots: int, size: int, control: int) -> None:
        super().__init__(slots=slots, size=size, control=control)
        self.lengths = self._headers["len"]
        """The size of each packet, after `receive`."""
        self._name_lengths, self._control_lengths = (
            self._headers[name] for name in ("namelen", "controllen")
        )
        self._used = slots

    def receive(self, sock: socket.socket, *, flags: int = 0) -> int:
        """Receive waiting packets; their number, at most `slots`.

        0 if none wait, or if the socket had a pending error, which this clears.
        """
        if self._used:  # the kernel has overwritten these lengths
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
        """For the first `count` slots: the size of the ancillary data, and a copy of the packet."""
        at, size = 0, self.packets.shape[1]
        for control, length in _RECEIVED.iter_unpack(
            self._header_bytes[: count * _MMSGHDR.itemsize]
        ):
            yield control, bytes(self._packet_bytes[at : at + length])
            at += size

    def controls(self, layout: struct.Struct, count: int) -> Iterator[tuple[Any, ...]]:
        """The ancillary data of the first `count` slots; `layout` has the size of its buffer."""
        return layout.iter_unpack(self._control_bytes[: count * self.control.shape[1]])

    def addresses(self, count: int) -> Iterator[tuple[bytes, int]]:
        """For the first `count` slots, IPv6 only: the sender's address and its scope id or 0."""
        return _IPV6_NAME.iter_unpack(self._name_bytes[: count * _NAME_ROOM])
