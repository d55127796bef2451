"""Gives memory back to the system after a flood of connections.

glibc keeps what was freed between pieces that are still in use; malloc_trim(3) returns it.
"""

import asyncio
import ctypes
from collections.abc import Callable

_LOOK_S = 5.0
_FLOOD = 200


async def give_back(connections: Callable[[], int], *, look_s: float = _LOOK_S) -> None:
    """Look now and then how many connections there are, and return memory when most of many have
    gone; runs until cancelled."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    most = 0
    while trim is not None:
        await asyncio.sleep(look_s)
        now = connections()
        most = max(most, now)
        if most >= _FLOOD and now <= most // 4:
            most = now
            await asyncio.to_thread(trim, 0)
