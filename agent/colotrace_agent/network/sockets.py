"""Raw sockets: for each family one to send, one to hear ICMP, and taps on UDP, TCP and GRE.

All are opened once, before the process gives up the right to receive buffers of any size. A tap
that is not wanted is parked: bound to an address that nobody has, so that the kernel does not even
copy a packet for it.
"""

import socket
from contextlib import suppress
from typing import NamedTuple

from colotrace_proto.messages import Family, PacketType

from .filters import (
    keep_gre_answers,
    keep_icmp6_answers,
    keep_icmp_answers,
    keep_tcp_answers,
    keep_udp_answers,
)

# linux/socket.h, linux/in.h and linux/in6.h; Python has no names for them.
SO_TIMESTAMPNS = 35
SO_TIMESTAMPING = 37
SO_RXQ_OVFL = 40
_SO_RCVBUFFORCE = 33
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_IP_FREEBIND = 15
_IPV6_FREEBIND = 78

# A burst of answers has to fit: about one for each 800 bytes.
RECEIVE_BUFFER = 8 << 20
_SEND_BUFFER = 4 << 20

# Addresses of no host: RFC 7600 section 4.8 (dummy), RFC 6666 (discard).
_NOBODY = {Family.IPV4: "192.0.0.8", Family.IPV6: "100::1"}
_ANYBODY = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}  # noqa: S104 - a raw socket's, filtered

TAPS = (PacketType.UDP, PacketType.TCP, PacketType.GRE)
_GRE_PROTOCOL = 47


class RawSockets(NamedTuple):
    """The agent's sockets. Whoever has them closes them."""

    senders: dict[Family, socket.socket]
    receivers: dict[tuple[Family, PacketType], socket.socket]

    def close(self) -> None:
        """Closes every socket."""
        for sock in (*self.senders.values(), *self.receivers.values()):
            sock.close()


def open_all() -> RawSockets:
    """Opens the sockets of every family that the kernel has; taps are parked.

    Raises:
        PermissionError: the process lacks CAP_NET_RAW.
    """
    sockets = RawSockets({}, {})
    for family in Family:
        try:
            sockets.senders[family] = _sender(family)
        except PermissionError:
            raise
        except OSError:  # a kernel may be without IPv6
            continue
        sockets.receivers[family, PacketType.ICMP] = _icmp(family)
        for packet_type in TAPS:
            sockets.receivers[family, packet_type] = _tap(family, packet_type)
    return sockets


def park(sock: socket.socket) -> None:
    """Lets a tap hear nothing."""
    _bind(sock, _NOBODY)


def unpark(sock: socket.socket) -> None:
    """Lets a tap hear what its filter keeps."""
    _bind(sock, _ANYBODY)


def _bind(sock: socket.socket, addresses: dict[Family, str]) -> None:
    family = Family.IPV4 if sock.family == socket.AF_INET else Family.IPV6
    sock.bind((addresses[family], 0))


def _sender(family: Family) -> socket.socket:
    """Sends whole packets, IP header included, of any protocol (raw(7), ipv6(7))."""
    sock = _raw(family, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    # Without it, a packet that the host's own queue has no room for counts as sent (ip(7)).
    if family is Family.IPV4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    return sock


def _icmp(family: Family) -> socket.socket:
    ipv4 = family is Family.IPV4
    sock = _raw(family, socket.IPPROTO_ICMP if ipv4 else socket.IPPROTO_ICMPV6)
    (keep_icmp_answers if ipv4 else keep_icmp6_answers)(sock)
    return _receiving(sock)


def _tap(family: Family, packet_type: PacketType) -> socket.socket:
    protocols = {
        PacketType.UDP: socket.IPPROTO_UDP,
        PacketType.TCP: socket.IPPROTO_TCP,
        PacketType.GRE: _GRE_PROTOCOL,
    }
    sock = _raw(family, protocols[packet_type])
    if family is Family.IPV4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    park(sock)
    if packet_type is PacketType.TCP:
        keep_tcp_answers(sock)
    elif packet_type is PacketType.UDP:
        keep_udp_answers(sock)
    else:
        keep_gre_answers(sock)
    return _receiving(sock)


def _raw(family: Family, protocol: int) -> socket.socket:
    address_family = socket.AF_INET if family is Family.IPV4 else socket.AF_INET6
    return socket.socket(address_family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)


def _receiving(sock: socket.socket) -> socket.socket:
    # Beyond net.core.rmem_max only with CAP_NET_ADMIN.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    with suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    return sock
