"""Concurrent coroutines that end together, and the event loop that runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Run the coroutines concurrently until one ends, cancel the others, and raise its error."""
    tasks = [asyncio.create_task(work, name=getattr(work, "__qualname__", "")) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread; None if none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
