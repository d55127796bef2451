"""Concurrent coroutines that end together."""

import asyncio

import pytest
from colotrace_proto.tasks import first_of


async def test_first_of_raises_and_cancels_the_others() -> None:
    """The first error is raised, and the other coroutines are cancelled."""
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError("so")

    async def ends() -> None:
        await asyncio.sleep(0)

    with pytest.raises(ZeroDivisionError, match="so"):
        await first_of(waits(), fails())
    await first_of(ends(), waits())
    assert ended == ["cancelled"] * 2
    task = asyncio.create_task(first_of(waits(), waits()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"] * 4
