"""Background writes that are never cancelled within a transaction."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def until_cancelled(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run the work. On cancellation, set its event and wait until it has returned.

    Cancelling a transaction would leave SQLite locked until the garbage collector closes the
    connection.
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
    """Wait for this time, or until `stopping` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass
