"""Drops all privileges but CAP_NET_RAW (ADR 5).

Linux capabilities belong to threads (capabilities(7)). `reduce` therefore runs before any library
starts a thread: later threads inherit the reduced set. The system calls are made directly, since no
maintained library provides them.

If root starts the agent, `finish` also changes the user, since uid 0 owns root's files even without
capabilities. This happens after the last import, because the installation may be readable by root
only. glibc changes the user of all threads, and the kernel then clears their capabilities; only the
calling thread keeps CAP_NET_RAW.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator

from colotrace_agent.errors import PrivilegeError

from . import accounts
from .accounts import Account

CAP_NET_RAW = 13

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_KEEPCAPS = 8
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522
_CAP_DAC_READ_SEARCH, _CAP_SETGID, _CAP_SETUID, _CAP_SETPCAP = 2, 6, 7, 8
_NET_RAW = 1 << CAP_NET_RAW
_CHANGE_USER = 1 << _CAP_SETUID | 1 << _CAP_SETGID
# To import modules and read key files that another user owns.
_READ = 1 << _CAP_DAC_READ_SEARCH
_HOME = "/"


# struct __user_cap_header_struct, and two of struct __user_cap_data_struct (effective, permitted,
# inheritable): capabilities 0 to 31, and 32 to 63.
_HEADER = struct.pack("=Ii", _LINUX_CAPABILITY_VERSION_3, 0)
_DATA = struct.Struct("=6I")

_libc = ctypes.CDLL(None, use_errno=True)


def require_net_raw() -> None:
    """Check that the process may send raw packets.

    Raises:
        PrivilegeError: it lacks CAP_NET_RAW.
    """
    if not _permitted() & _NET_RAW:
        remedy = _FOR_ROOT if os.geteuid() == 0 else _FOR_USERS
        raise PrivilegeError(
            "colotrace-agent sends raw packets and lacks the capability CAP_NET_RAW: " + remedy
        )


_ELSEWHERE = (
    "under a systemd unit with AmbientCapabilities=CAP_NET_RAW, or in a container with "
    "--cap-add NET_RAW and without no-new-privileges"
)
_FOR_USERS = f"run it as root, {_ELSEWHERE}"
_FOR_ROOT = f"root lacks it in this environment; run the agent outside of it, {_ELSEWHERE}"


def reduce(user: str = "") -> Account | None:
    """Drop every capability but CAP_NET_RAW and those that `finish` needs.

    Returns the account for `finish`: `user`, by default `accounts.own`. None if the process is not
    root or cannot change its user: in a container without CAP_SETUID, or in a user namespace that
    does not have the user.

    Also sets no_new_privs, so that child processes cannot gain privileges, and clears the bounding
    and ambient sets. Clearing the bounding set needs CAP_SETPCAP. Without it the set stays, which
    is harmless because of no_new_privs.

    Raises:
        PrivilegeError: the process lacks CAP_NET_RAW, or cannot become `user`, or the kernel
            refuses.
    """
    require_net_raw()
    with _parent_death_signal_kept():
        account = _account(user)
    permitted = _permitted()
    keep = _NET_RAW if account is None else _NET_RAW | permitted & (_CHANGE_USER | _READ)
    try:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        if permitted & 1 << _CAP_SETPCAP:
            _set(permitted)
            _empty_bounding_set()
        _reduce_to(keep)
    except OSError as error:
        raise _refused(error) from error
    return account


def finish(account: Account | None) -> None:
    """Change to the account that `reduce` returned, and drop the capabilities that this needed.

    Call it in the thread that sends, since only this thread keeps CAP_NET_RAW.

    Raises:
        PrivilegeError: the kernel refuses.
    """
    if account is None:
        return
    try:
        with _parent_death_signal_kept():
            _prctl(_PR_SET_KEEPCAPS, 1)
            os.setgroups([])
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
            _set(_NET_RAW)
    except OSError as error:
        raise _refused(error) from error
    os.environ["HOME"] = _HOME


@contextlib.contextmanager
def _parent_death_signal_kept() -> Iterator[None]:
    """Restore the parent-death signal, which the kernel clears when the user changes (prctl(2)).

    Without it an agent could outlive a supervisor that relies on the signal.
    """
    number = ctypes.c_int()
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), zero, zero, zero))
    parent = os.getppid()
    yield
    if number.value:
        _prctl(_PR_SET_PDEATHSIG, number.value)
        if os.getppid() != parent:  # the parent died in between
            os.kill(os.getpid(), number.value)


def _account(user: str) -> Account | None:
    if not user:
        account = accounts.own()
        return account if os.geteuid() == 0 and _can_become(account) else None
    account = accounts.named(user)
    if account.uid == os.geteuid():
        return None
    if os.geteuid() != 0 or not _can_become(account):
        raise PrivilegeError(
            f"--user {user}: the process may not become another user; start it as root with "
            "CAP_SETUID and CAP_SETGID, or leave --user out"
        )
    return account


def _can_become(account: Account) -> bool:
    """Try to change the effective ids, and change them back."""
    if _permitted() & _CHANGE_USER != _CHANGE_USER:
        return False
    group = os.getegid()
    try:
        os.setegid(account.gid)
        os.seteuid(account.uid)
    except OSError:
        return False
    finally:
        os.seteuid(0)
        os.setegid(group)
    with contextlib.suppress(OSError):
        os.setgroups([])
        return True
    return False


def _empty_bounding_set() -> None:
    for capability in range(64):
        try:
            _prctl(_PR_CAPBSET_READ, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return  # beyond the kernel's last capability
        _prctl(_PR_CAPBSET_DROP, capability)


def _refused(error: OSError) -> PrivilegeError:
    return PrivilegeError(
        f"cannot give up privileges ({error.strerror}): let the process call prctl, capset, "
        "setgroups, setresgid and setresuid (seccomp profile, security module)"
    )


def _permitted() -> int:
    data = ctypes.create_string_buffer(_DATA.size)
    _check(_libc.capget(_HEADER, data))
    _, low, _, _, high, _ = _DATA.unpack(data)
    return int(low | high << 32)


def _reduce_to(capabilities: int) -> None:
    """As `_set`. A service that starts with these alone need not be allowed capset: then only the
    inheritable set stays, which is harmless because of no_new_privs."""
    try:
        _set(capabilities)
    except OSError:
        if _permitted() != capabilities:
            raise


def _set(capabilities: int) -> None:
    """Set the effective and permitted sets; clear the inheritable set."""
    low, high = capabilities & 0xFFFF_FFFF, capabilities >> 32
    _check(_libc.capset(_HEADER, _DATA.pack(low, low, 0, high, high, 0)))


def _prctl(option: int, argument: int) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero))


def _check(result: int) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
