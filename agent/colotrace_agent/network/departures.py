"""The kernel's stamps of packets' departures.

It puts them into the socket's error queue, each with a number: one that the socket counts, or,
since Linux 6.13, one that the sender has given the packet (SCM_TS_OPT_ID).
"""

import contextlib
import functools
import socket
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .mmsg import SCM_TS_OPT_ID, Incoming
from .sockets import SO_TIMESTAMPING

# linux/net_tstamp.h: stamp departures in software, number them, leave the packet itself out.
_TX_SOFTWARE, _SOFTWARE, _OPT_ID, _OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11
STAMPING = _TX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_TSONLY
STAMPING_ANEW = (STAMPING & ~_OPT_ID, STAMPING)
"""Set one after the other, the socket's count begins at 0 again."""

# In the error queue: struct cmsghdr and struct scm_timestamping, of whose three stamps the first
# is the software's; then struct cmsghdr and struct sock_extended_err, which ends with the number.
# An error of the host's own (EMSGSIZE) is there without a stamp.
_LEVEL_AT, _STAMP_AT, _ERROR_ORIGIN_AT, _NUMBER_AT = 8, 16, 84, 92
_LEVEL_AND_TYPE = int(np.array([socket.SOL_SOCKET, SO_TIMESTAMPING], np.int32).view(np.uint64)[0])
_ORIGIN_TIMESTAMPING = 4
CONTROL = 128
"""Room for a stamp's ancillary data."""
_ONE = struct.Struct("=8xQqq52xB7xI32x")  # the same places, for one at a time


def stamps_in(
    queue: Incoming, count: int, offset: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The numbers, and the times with `offset` added, of the stamps among the first `count`
    messages received from an error queue."""
    control = queue.control[:count]
    kinds = control[:, _LEVEL_AT : _LEVEL_AT + 8].copy().view(np.uint64)[:, 0]
    stamps = control[
        (kinds == _LEVEL_AND_TYPE) & (control[:, _ERROR_ORIGIN_AT] == _ORIGIN_TIMESTAMPING)
    ]
    times = stamps[:, _STAMP_AT : _STAMP_AT + 16].copy().view(np.int64)
    numbers = stamps[:, _NUMBER_AT : _NUMBER_AT + 4].copy().view(np.uint32)[:, 0]
    return numbers.astype(np.int64), times[:, 0] * 1_000_000_000 + times[:, 1] + offset


def few_stamps_in(queue: Incoming, count: int, offset: int) -> Iterator[tuple[int, int]]:
    """As `stamps_in`, one by one: faster for fewer than a hundred."""
    for kind, seconds, nanoseconds, origin, number in queue.controls(_ONE, count):
        if kind == _LEVEL_AND_TYPE and origin == _ORIGIN_TIMESTAMPING:
            yield number, seconds * 1_000_000_000 + nanoseconds + offset


@functools.cache
def kernel_takes_numbers() -> bool:
    """Whether the kernel lets the sender number its stamps: Linux 6.13 and later."""
    with contextlib.ExitStack() as stack:
        receiver, sender = (
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)
        )
        number = [(socket.SOL_SOCKET, SCM_TS_OPT_ID, struct.pack("=I", 1))]
        try:
            receiver.bind(("127.0.0.1", 0))  # fails while the loopback interface is down
            sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPING)
            sender.sendmsg([b""], number, 0, receiver.getsockname())
        except OSError:
            return False
        return True
