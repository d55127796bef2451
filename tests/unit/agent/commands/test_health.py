"""The file for the health check of a container."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from colotrace_agent.commands import health
from eventually import until


async def test_file_says_whether_the_agent_is_attached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "INTERVAL_S", 0.001)
    file = tmp_path / "health"
    attached = False
    task = asyncio.create_task(health.keep_health(file, attached=lambda: attached))
    await until(file.exists)
    assert file.read_text() == "waiting\n"
    attached = True
    await until(lambda: file.read_text() == "attached\n")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not file.exists()


async def test_agent_runs_on_if_the_file_cannot_be_written(tmp_path: Path) -> None:
    task = asyncio.create_task(
        health.keep_health(tmp_path / "missing" / "health", attached=lambda: True)
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
