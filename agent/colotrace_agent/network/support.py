"""Which ancillary data the kernel accepts with a packet to send."""

import functools
import socket
import struct

from .departures import STAMPING
from .mmsg import IP_PROTOCOL, SCM_TS_OPT_ID
from .sockets import SO_TIMESTAMPING


def kernel_takes_numbers() -> bool:
    """Whether the sender can choose the numbers of its stamps: Linux 6.13 and later."""
    return _accepts(socket.SOL_SOCKET, SCM_TS_OPT_ID)


def kernel_takes_protocols() -> bool:
    """Whether a raw packet with its own header can be routed by its protocol: Linux 6.4."""
    return _accepts(socket.IPPROTO_IP, IP_PROTOCOL)


@functools.cache
def _accepts(level: int, kind: int) -> bool:
    ancillary = [(level, kind, struct.pack("=I", socket.IPPROTO_UDP))]  # valid for both
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        try:
            receiver.bind(("127.0.0.1", 0))  # fails while the loopback interface is down
            sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPING)
            sender.sendmsg([b""], ancillary, 0, receiver.getsockname())
        except OSError:
            return False
        return True
