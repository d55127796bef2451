"""The addresses of this host, and which address families it can trace with them."""

import errno
import ipaddress
import os
import struct
import sys
from typing import NamedTuple

from colotrace_proto.messages import Family

from colotrace_agent.model import family_of

from . import clock
from .rtnetlink import FAMILIES, Changes, attributes, dump

# linux/rtnetlink.h, linux/if_addr.h
_GET_ADDRESS = 22
_ADDRESS, _LOCAL, _FLAGS = 1, 2, 8
_SCOPE_UNIVERSE, _SCOPE_SITE = 0, 200
_OPTIMISTIC, _DUPLICATE, _TENTATIVE = 0x04, 0x08, 0x40
_GROUPS = (5, 9)  # RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR

_HEADER = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, interface
_MOST = 100_000
# Shortest interval of reading the addresses without a subscription.
_POLL_NS = 1_000_000_000


class LocalAddress(NamedTuple):
    """An address of this host: packed, with its interface's index. `usable` means that it has more
    than link scope and may be a source address."""

    address: bytes
    interface: int
    usable: bool


def local_addresses() -> list[LocalAddress]:
    """All addresses of this host, including secondary and labelled ones.

    Raises:
        OSError: the kernel does not report them.
    """
    entries = dump(_GET_ADDRESS, _HEADER.pack(0, 0, 0, 0, 0), most=_MOST)
    if entries is None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    found = (_address_in(entry) for entry in entries)
    return [address for address in found if address is not None]


def working_families() -> frozenset[Family]:
    """The families for which this host has a usable address. All families if the kernel does not
    report addresses; each trace then finds out by sending."""
    try:
        return frozenset(family_of(each.address) for each in local_addresses() if each.usable)
    except OSError:
        return frozenset(Family)


class HostFamilies:
    """`working_families`, kept current by a subscription to the kernel's address changes."""

    def __init__(self) -> None:
        try:
            self._changes: Changes | None = Changes(_GROUPS)
        except OSError:
            self._changes = None
        self._read_at = 0
        self._families: frozenset[Family] = frozenset()

    def fileno(self) -> int | None:
        """Readable when `current` has changed; None without a subscription."""
        return None if self._changes is None else self._changes.fileno()

    def current(self) -> frozenset[Family]:
        """The working families; at most a second old without a subscription."""
        now = clock.now()
        outdated = not self._read_at or (
            now - self._read_at >= _POLL_NS if self._changes is None else self._changes.seen()
        )
        if outdated:
            self._families, self._read_at = working_families(), now
        return self._families

    def close(self) -> None:
        """Ends the subscription."""
        if self._changes is not None:
            self._changes.close()


def _address_in(entry: bytes) -> LocalAddress | None:
    family, _, flags, scope, interface = _HEADER.unpack_from(entry)
    if family not in FAMILIES.values():
        return None
    known = dict(attributes(entry[_HEADER.size :]))
    # On a point-to-point link IFA_ADDRESS is the peer's address.
    address = known.get(_LOCAL) or known.get(_ADDRESS)
    if address is None:
        return None
    if _FLAGS in known:  # the header's flags, and those beyond 8 bits
        flags = int.from_bytes(known[_FLAGS], sys.byteorder)
    return LocalAddress(address, interface, _is_usable(address, flags=flags, scope=scope))


def _is_usable(address: bytes, *, flags: int, scope: int) -> bool:
    """IPv4: by the address alone, since a route may use an address of any scope as its source.
    IPv6: not before duplicate address detection has ended (RFC 4862), unless the address is
    optimistic (RFC 4429)."""
    ip = ipaddress.ip_address(address)
    if ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    if ip.version == 4:
        return True
    waits = flags & _TENTATIVE and not flags & _OPTIMISTIC
    return scope in (_SCOPE_UNIVERSE, _SCOPE_SITE) and not waits and not flags & _DUPLICATE
