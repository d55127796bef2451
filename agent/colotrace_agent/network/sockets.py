"""Raw sockets: for each family one to send, one to receive ICMP, and taps for UDP, TCP and GRE.

All are opened once, before the process drops CAP_NET_ADMIN, which large receive buffers need. A tap
(a raw socket that receives copies of the host's traffic) is parked while it is not needed: it is
bound to an address that no host has, so that the kernel copies no packets for it.
"""

import errno
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.packets.format import ProbeFormat, Tap
from colotrace_agent.packets.formats import ERRORS, FORMATS

from .filters import attach, keep_icmp_answers
from .rtnetlink import FAMILIES

# linux/socket.h, linux/in.h and linux/in6.h; not in Python's socket module.
SO_TIMESTAMPNS = 35
SO_TIMESTAMPING = 37
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_SOL_RAW = 255
# Level and option: IP_RECVERR and IP_FREEBIND, and those of IPv6.
_RECVERR = {Family.IPV4: (socket.IPPROTO_IP, 11), Family.IPV6: (socket.IPPROTO_IPV6, 25)}
_FREEBIND = {Family.IPV4: (socket.IPPROTO_IP, 15), Family.IPV6: (socket.IPPROTO_IPV6, 78)}

# For bursts of answers, of about 800 bytes each.
RECEIVE_BUFFER = 8 << 20
SEND_BUFFER = 4 << 20
# The error queue holds a thousand time stamps of about 800 bytes each.
_STAMPS_BUFFER = 1 << 20

# Addresses that no host has: RFC 7600 section 4.8 (dummy), RFC 6666 (discard).
_NOBODY = {Family.IPV4: "192.0.0.8", Family.IPV6: "100::1"}
_ANYBODY = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}  # noqa: S104 - a raw socket's, filtered

# The kernel or a sandbox may not support IPv6.
_NO_FAMILY = {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}

_DROPS_AT, _MEMINFO_SIZE = 32, 36  # SK_MEMINFO_DROPS, of 32 bits (linux/sock_diag.h)


class RawSockets(NamedTuple):
    """The agent's sockets; the owner closes them."""

    senders: dict[Family, socket.socket]
    receivers: dict[tuple[Family, PacketType], socket.socket]

    def receive_buffer(self) -> int:
        """Bytes of the smallest receive buffer for answers: `RECEIVE_BUFFER` at most, less if the
        kernel allowed less."""
        # The kernel doubles the size for its own bookkeeping (socket(7)).
        sizes = (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
            for sock in self.receivers.values()
        )
        return min(sizes, default=RECEIVE_BUFFER)

    def close(self) -> None:
        """Close all sockets."""
        for sock in (*self.senders.values(), *self.receivers.values()):
            sock.close()


class Drops:
    """Counts packets that the kernel dropped because a socket's receive buffer was full."""

    def __init__(self, receivers: Mapping[tuple[Family, PacketType], socket.socket]) -> None:
        self._counts = {sock: _drops_of(sock) for sock in receivers.values()}

    def since(self) -> int:
        """Number of packets dropped since the last call."""
        before, self._counts = self._counts, {sock: _drops_of(sock) for sock in self._counts}
        return sum((count - before[sock]) % (1 << 32) for sock, count in self._counts.items())


WHY_REFUSED = (
    "although the process has CAP_NET_RAW: it is in a user namespace, and the network belongs to "
    "another one (a rootless container with the host's network), or a seccomp profile or security "
    "module forbids raw sockets"
)
HOW_TO_ALLOW = (
    "give the container a network of its own, start it as root outside of a user namespace, or "
    "change the profile"
)


def open_all() -> RawSockets:
    """Open the sockets of every family that the kernel has; taps are parked.

    Raises:
        PermissionError: the process lacks CAP_NET_RAW in this network namespace.
        OSError: another reason, for example the limit of open files.
    """
    sockets = RawSockets({}, {})
    try:
        for family in Family:
            _open(family, sockets)
    except BaseException:
        sockets.close()
        raise
    return sockets


def _open(family: Family, sockets: RawSockets) -> None:
    try:
        sockets.senders[family] = _sender(family)
    except OSError as error:
        if error.errno in _NO_FAMILY:
            return
        raise
    sockets.receivers[family, ERRORS] = _icmp(family)
    for packet_type, kind in FORMATS.items():
        if kind.tap is not None:
            sockets.receivers[family, packet_type] = _tap(family, kind, kind.tap)


def park(sock: socket.socket) -> None:
    """Let a tap receive nothing."""
    _bind(sock, _NOBODY)


def unpark(sock: socket.socket) -> None:
    """Let a tap receive the packets that pass its filter."""
    _bind(sock, _ANYBODY)


def _bind(sock: socket.socket, addresses: dict[Family, str]) -> None:
    family = Family.IPV4 if sock.family == socket.AF_INET else Family.IPV6
    sock.bind((addresses[family], 0))


def _sender(family: Family) -> socket.socket:
    """A socket that sends packets of any protocol with their IP header (raw(7), ipv6(7))."""
    sock = _raw(family, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    _give_room(sock, _STAMPS_BUFFER)
    # Otherwise a packet that the host's own queue drops counts as sent (ip(7)).
    sock.setsockopt(*_RECVERR[family], 1)
    return sock


def _icmp(family: Family) -> socket.socket:
    ipv4 = family is Family.IPV4
    sock = _raw(family, socket.IPPROTO_ICMP if ipv4 else socket.IPPROTO_ICMPV6)
    keep_icmp_answers(sock)
    if not ipv4:
        # Disable the kernel's check, as for IPv4: `packets.decode` verifies checksums, and accepts
        # replies with a checksum spoiled by NAT if the probe verifies. The option at this level is
        # specific to Linux (by RFC 3542 section 3.1 the kernel always checks).
        sock.setsockopt(_SOL_RAW, socket.IPV6_CHECKSUM, -1)
    return _receiving(sock)


def _tap(family: Family, kind: ProbeFormat, tap: Tap) -> socket.socket:
    sock = _raw(family, kind.protocols[family])
    sock.setsockopt(*_FREEBIND[family], 1)
    park(sock)
    attach(sock, tap.program(ip_header=family is Family.IPV4))
    return _receiving(sock)


def _raw(family: Family, protocol: int) -> socket.socket:
    return socket.socket(FAMILIES[family], socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)


def _receiving(sock: socket.socket) -> socket.socket:
    _give_room(sock, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


def _give_room(sock: socket.socket, size: int) -> None:
    # Sizes beyond net.core.rmem_max need CAP_NET_ADMIN, which is dropped afterwards.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    with suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)


def _drops_of(sock: socket.socket) -> int:
    told = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_SIZE)
    return int.from_bytes(told[_DROPS_AT:], sys.byteorder)
