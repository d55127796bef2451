"""The one right that the agent needs, and the giving up of all others.

Linux capabilities belong to threads (capabilities(7)), so this runs before any library starts
one of its own: every later thread inherits what is left. The system calls are made directly; no
maintained library does it.
"""

import ctypes
import os
from pathlib import Path

CAP_NET_RAW = 13

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522
_CAP_SETPCAP = 8
_HIGHEST = Path("/proc/sys/kernel/cap_last_cap")


class PrivilegeError(Exception):
    """The process may not send raw packets."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    # Twice: capabilities 0 to 31, then 32 to 63.
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_libc = ctypes.CDLL(None, use_errno=True)


def require_net_raw() -> None:
    """Makes sure that the process may send raw packets.

    Raises:
        PrivilegeError: it may not.
    """
    if not _permitted() & 1 << CAP_NET_RAW:
        raise PrivilegeError(
            "colotrace-agent sends raw packets and lacks the capability CAP_NET_RAW: run it as "
            "root, under a systemd unit with AmbientCapabilities=CAP_NET_RAW, or in a container "
            "with --cap-add NET_RAW and without no-new-privileges"
        )


def keep_only_net_raw() -> None:
    """Gives up every capability but CAP_NET_RAW, for good.

    Also sets no_new_privs, so that no program started from here has more, and empties the
    bounding and ambient sets. Emptying the bounding set takes CAP_SETPCAP: a process that was
    started without it cannot, and needs not, since no_new_privs closes the same door.

    Raises:
        PrivilegeError: CAP_NET_RAW is not there to keep.
    """
    require_net_raw()
    permitted = _permitted()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if permitted & 1 << _CAP_SETPCAP:
        _set(permitted)
        for capability in range(int(_HIGHEST.read_text()) + 1):
            _prctl(_PR_CAPBSET_DROP, capability)
    _set(1 << CAP_NET_RAW)


def _permitted() -> int:
    header, data = _Header(_LINUX_CAPABILITY_VERSION_3, 0), (_Data * 2)()
    _check(_libc.capget(ctypes.byref(header), ctypes.byref(data)))
    return int(data[0].permitted) | int(data[1].permitted) << 32


def _set(capabilities: int) -> None:
    """Makes these effective and permitted, and nothing inheritable."""
    low, high = capabilities & 0xFFFF_FFFF, capabilities >> 32
    header = _Header(_LINUX_CAPABILITY_VERSION_3, 0)
    data = (_Data * 2)(_Data(low, low, 0), _Data(high, high, 0))
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(data)))


def _prctl(option: int, argument: int) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero))


def _check(result: int) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
