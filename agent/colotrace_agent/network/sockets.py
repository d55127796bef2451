"""Raw sockets: one to send and one to hear for each family, and taps on UDP and TCP as wanted."""

import socket

from colotrace_proto.messages import Family

from .filters import (
    keep_icmp6_answers,
    keep_icmp_answers,
    keep_tcp_answers,
    keep_udp_answers,
)

# linux/socket.h; Python has no names for them.
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40

# A burst of answers has to fit; the kernel grants net.core.rmem_max of it.
_RECEIVE_BUFFER = 4 << 20
_SEND_BUFFER = 4 << 20


def open_sender(family: Family) -> socket.socket:
    """Sends whole packets, IP header included, of any protocol (raw(7), ipv6(7))."""
    sock = _raw(family, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    # It is never read: nothing is to pile up in it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    return sock


def open_icmp_receiver(family: Family) -> socket.socket:
    """Hears echo replies and errors."""
    ipv4 = family is Family.IPV4
    sock = _raw(family, socket.IPPROTO_ICMP if ipv4 else socket.IPPROTO_ICMPV6)
    (keep_icmp_answers if ipv4 else keep_icmp6_answers)(sock)
    return _receiving(sock)


def open_tcp_tap(family: Family) -> socket.socket:
    """Hears what answers SYNs from the agent's ports."""
    sock = _raw(family, socket.IPPROTO_TCP)
    keep_tcp_answers(sock)
    return _receiving(sock)


def open_udp_tap(family: Family) -> socket.socket:
    """Hears what services answer to datagrams from the agent's ports."""
    sock = _raw(family, socket.IPPROTO_UDP)
    keep_udp_answers(sock)
    return _receiving(sock)


def _raw(family: Family, protocol: int) -> socket.socket:
    address_family = socket.AF_INET if family is Family.IPV4 else socket.AF_INET6
    return socket.socket(address_family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)


def _receiving(sock: socket.socket) -> socket.socket:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    return sock
