"""Work behind the answers, stopped between two transactions and never within one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def until_cancelled(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run the work; when cancelled, set its event, and wait until it has come to its end.

    A transaction that is cancelled half way leaves SQLite locked until its connection is
    collected, and whoever writes next waits for that.
    """
    stopping = asyncio.Event()
    task = asyncio.create_task(work(stopping), name="store-behind")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        stopping.set()
        await task
        raise


async def pause(stopping: asyncio.Event, *, seconds: float) -> None:
    """Wait that long, or until it is time to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass
