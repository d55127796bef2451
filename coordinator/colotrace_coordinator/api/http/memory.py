"""Returns memory to the system after a flood of connections.

glibc keeps freed memory that lies between blocks in use; malloc_trim(3) returns it.
"""

import asyncio
import ctypes
from collections.abc import Callable

_LOOK_S = 5.0
_FLOOD = 200


async def give_back(connections: Callable[[], int], *, look_s: float = _LOOK_S) -> None:
    """Check the number of connections every `look_s`, and return memory when it has fallen to a
    quarter of a large peak. Runs until cancelled."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in other C libraries
    most = 0
    while trim is not None:
        await asyncio.sleep(look_s)
        now = connections()
        most = max(most, now)
        if most >= _FLOOD and now <= most // 4:
            most = now
            await asyncio.to_thread(trim, 0)
