"""Tells systemd how the service is doing (sd_notify(3)). Elsewhere nothing is sent."""

import asyncio
import contextlib
import os
import socket
from typing import NoReturn

READY, STOPPING = "READY=1", "STOPPING=1"
_ALIVE = "WATCHDOG=1"


def notify(state: str) -> None:
    """Send a state to the service manager that started this process, if it wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # A restart of systemd may lose a message; the service must not fail for it.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        sock.send(state.encode())


def watchdog_s() -> float | None:
    """Within how many seconds systemd wants a sign of life; None if it does not."""
    text = os.environ.get("WATCHDOG_USEC", "")
    own = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    if not own or not text.isascii() or not text.isdecimal() or not int(text):
        return None
    return int(text) / 1e6


async def beat(within_s: float | None) -> NoReturn:
    """Give signs of life from the running event loop, until cancelled: if the loop hangs, they end,
    and systemd starts the service anew."""
    if within_s is None:
        await asyncio.Event().wait()
    while True:
        notify(_ALIVE)
        await asyncio.sleep((within_s or 0) / 3)
