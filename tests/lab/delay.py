"""Two namespaces joined by a cable of chosen length: `python delay.py LEFT RIGHT DELAY_MS`.

No netem is needed: a TUN device in each namespace, and this process in the middle, which hands
every packet on exactly so much later than it came, in the order in which they came. It makes the
devices, configures nothing, says "ready", and lives until its standard input closes, with which
the devices go too: it cannot outlive its starter.

Run by its path, so that it starts without the rest of the package.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

DEVICE = "slow0"
READY = b"ready\n"

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000
_CLONE_NEWNET = 0x40000000
_LONGEST = 65_536
# Until this much is left, sleep; from then on watch the clock: a wake-up may be that late.
_SPIN_NS = 100_000

_libc = ctypes.CDLL(None, use_errno=True)


def open_in(namespace: str) -> int:
    """Enter a namespace, given by its file, and make the device there."""
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), namespace)
    finally:
        os.close(fd)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN_NO_PI))
    return device


def forward(devices: tuple[int, int], *, delay_ns: int, until_closed: int) -> None:
    """Hand packets on until the end of input.

    One queue serves both ways: the delay is the same for all, so what came first is due first.
    """
    other = dict(zip(devices, reversed(devices), strict=True))
    queue: deque[tuple[int, int, bytes]] = deque()
    while True:
        wait_s = None
        if queue:
            wait_s = max(queue[0][0] - time.monotonic_ns() - _SPIN_NS, 0) / 1e9
        readable, _, _ = select.select([*devices, until_closed], [], [], wait_s)
        if until_closed in readable:
            return
        for device in readable:
            for packet in _read(device):
                queue.append((time.monotonic_ns() + delay_ns, other[device], packet))
        while queue and queue[0][0] <= time.monotonic_ns():
            _, device, packet = queue.popleft()
            with contextlib.suppress(OSError):  # it is down: a cable that is cut loses packets
                os.write(device, packet)


def _read(device: int) -> list[bytes]:
    packets = []
    with contextlib.suppress(BlockingIOError):
        while True:
            packets.append(os.read(device, _LONGEST))
    return packets


def main(left: str, right: str, delay_ms: str) -> None:
    """Make the devices, say so, and forward."""
    devices = (open_in(left), open_in(right))
    # A network does not wait for a busy host's turn.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    os.write(sys.stdout.fileno(), READY)
    forward(devices, delay_ns=int(float(delay_ms) * 1e6), until_closed=sys.stdin.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
