"""The kernel's own word on the wall clock: whether it is synchronised (adjtimex(2))."""

import ctypes
import os
from typing import NamedTuple

# linux/timex.h.
_STA_INS, _STA_DEL, _STA_UNSYNC = 0x0010, 0x0020, 0x0040


class ClockState(NamedTuple):
    """`status` has the kernel's bits."""

    status: int
    max_error_us: int

    @property
    def synchronised(self) -> bool:
        """Whether a time service disciplines the clock."""
        return not self.status & _STA_UNSYNC

    @property
    def leap(self) -> bool:
        """Whether a leap second is due at the end of the day."""
        return bool(self.status & (_STA_INS | _STA_DEL))


class _Timex(ctypes.Structure):
    """struct timex; the fields after `status` are not used."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def clock_state() -> ClockState:
    """The state of this host's clock.

    Raises:
        OSError: the kernel does not tell.
    """
    timex = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return ClockState(timex.status, timex.maxerror)
