"""Source addresses by the host's routing."""

import ctypes
import errno
import os
import socket
from collections.abc import Sequence

from colotrace_proto.messages import Family

from colotrace_agent.model import family_of

from .mmsg import sockaddr
from .rtnetlink import FAMILIES

_ADDRESS_AT = {Family.IPV4: 4, Family.IPV6: 8}  # in a sockaddr
_NOWHERE = bytes(28)  # a sockaddr of AF_UNSPEC disconnects (connect(2))
_libc = ctypes.CDLL(None, use_errno=True)


def source_for(target: bytes) -> bytes:
    """The source address for one target.

    Raises:
        OSError: see `sources_for`.
    """
    (source,) = sources_for([target])
    if isinstance(source, OSError):
        raise source
    return source


def sources_for(targets: Sequence[bytes]) -> list[bytes | OSError]:
    """The source address for each target; all are of one family. An error if the host has no route,
    or no address of the family; or if the target is link-local, which could be on any link.

    Nothing is sent: connecting a socket to a target only looks up the route.
    """
    family = family_of(targets[0])
    at, width = _ADDRESS_AT[family], len(targets[0])
    connect, named = _libc.connect, _libc.getsockname
    size = len(sockaddr(targets[0]))
    found, length = ctypes.create_string_buffer(size), ctypes.c_uint32(size)
    length_at = ctypes.byref(length)
    sources: list[bytes | OSError] = []
    with _looking_up(FAMILIES[family]) as sock:
        fd = sock.fileno()
        for target in targets:
            if (refused := link_local_error(target)) is not None:
                sources.append(refused)
                continue
            # A socket keeps its source address until it is disconnected.
            connect(fd, _NOWHERE, size)
            if connect(fd, sockaddr(target), size) or named(fd, found, length_at):
                number = ctypes.get_errno()
                sources.append(OSError(number, os.strerror(number)))
            else:
                sources.append(found.raw[at : at + width])
    return sources


def link_local_error(target: bytes) -> OSError | None:
    """The error for a link-local IPv6 target (RFC 4291 section 2.5.6), whose link is ambiguous;
    None for other targets."""
    if target[0] == 0xFE and target[1] & 0xC0 == 0x80 and len(target) == 16:
        words = "a link-local address could be on any of the host's links"
        return OSError(errno.EINVAL, words)
    return None


def _looking_up(family: socket.AddressFamily) -> socket.socket:
    """A raw socket, which is routed like probes. Without CAP_NET_RAW, a UDP socket: with rules by
    protocol, its route may differ from that of probes."""
    try:
        return socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    except PermissionError:
        return socket.socket(family, socket.SOCK_DGRAM)
