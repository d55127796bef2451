"""Kernel time stamps of sent packets.

The kernel puts them into the socket's error queue. Each has a number: a counter of the socket or,
since Linux 6.13, a number that the sender gave the packet (SCM_TS_OPT_ID).
"""

import socket
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .mmsg import Incoming
from .sockets import SO_TIMESTAMPING

# linux/net_tstamp.h: software send time stamps, with numbers, without the packet itself.
_TX_SOFTWARE, _SOFTWARE, _OPT_ID, _OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11
STAMPING = _TX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_TSONLY
RESET_STAMPING = (STAMPING & ~_OPT_ID, STAMPING)
"""Setting these one after the other resets the socket's counter to 0."""

# Layout in the error queue: struct cmsghdr and struct scm_timestamping, whose first of three stamps
# is the software's; then struct cmsghdr and struct sock_extended_err, which ends with the number.
# Local errors (EMSGSIZE) have no stamp.
_LEVEL_AT, _STAMP_AT, _ERROR_ORIGIN_AT, _NUMBER_AT = 8, 16, 84, 92
_LEVEL_AND_TYPE = int(np.array([socket.SOL_SOCKET, SO_TIMESTAMPING], np.int32).view(np.uint64)[0])
_ORIGIN_TIMESTAMPING = 4
CONTROL = 128
"""Size of a stamp's ancillary data."""
_ONE = struct.Struct("=8xQqq52xB7xI32x")  # the same layout for one message


def stamps_in(
    queue: Incoming, count: int, offset: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Numbers and times of the stamps in the first `count` messages of an error queue; `offset` is
    added to the times."""
    control = queue.control[:count]
    kinds = control[:, _LEVEL_AT : _LEVEL_AT + 8].copy().view(np.uint64)[:, 0]
    stamps = control[
        (kinds == _LEVEL_AND_TYPE) & (control[:, _ERROR_ORIGIN_AT] == _ORIGIN_TIMESTAMPING)
    ]
    times = stamps[:, _STAMP_AT : _STAMP_AT + 16].copy().view(np.int64)
    numbers = stamps[:, _NUMBER_AT : _NUMBER_AT + 4].copy().view(np.uint32)[:, 0]
    return numbers.astype(np.int64), times[:, 0] * 1_000_000_000 + times[:, 1] + offset


def few_stamps_in(queue: Incoming, count: int, offset: int) -> Iterator[tuple[int, int]]:
    """Like `stamps_in`, one at a time: faster for fewer than a hundred."""
    for kind, seconds, nanoseconds, origin, number in queue.controls(_ONE, count):
        if kind == _LEVEL_AND_TYPE and origin == _ORIGIN_TIMESTAMPING:
            yield number, seconds * 1_000_000_000 + nanoseconds + offset
