#!/usr/bin/env python3
"""Becomes Chromium, but does not let it see that network interfaces change.

Labs of other tests make and remove interfaces in the same namespace. Chromium gives up all requests
at each change (ERR_NETWORK_CHANGED), as is right for a laptop that moves to another network. It
learns of changes by a netlink socket; a seccomp filter lets it have none.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_SOCKET = {"x86_64": 41, "aarch64": 198}
"""The number of the system call."""
_AF_NETLINK = 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _FIRST_ARGUMENT_AT = 0, 16
"""Offsets in `struct seccomp_data` (seccomp(2)); the argument's lower half comes first."""


def _filter(number: int) -> bytes:
    """Classic BPF: code, jump if true, jump if false, value."""
    return b"".join(
        struct.pack("HBBI", *step)
        for step in (
            (_LOAD, 0, 0, _NUMBER_AT),
            (_EQUALS, 0, 3, number),
            (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
            (_EQUALS, 0, 1, _AF_NETLINK),
            (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
            (_RETURN, 0, 0, _ALLOW),
        )
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main() -> None:
    """Become Chromium, with the arguments of the command line."""
    number = _SOCKET.get(platform.machine())
    if number is not None:  # elsewhere it runs unfiltered: a request may fail
        steps = _filter(number)
        program = _Program(len(steps) // 8, steps)
        libc = ctypes.CDLL(None, use_errno=True)
        for option, *values in (
            (_PR_SET_NO_NEW_PRIVS, 1, 0),
            (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program)),
        ):
            if libc.prctl(option, *values, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")
    os.execvp("chromium", ["chromium", *sys.argv[1:]])  # noqa: S606 - a fixed program


if __name__ == "__main__":
    main()
