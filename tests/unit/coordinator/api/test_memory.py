"""Memory goes back to the system when a flood is over."""

import asyncio
import contextlib
import ctypes
from typing import Any

import pytest
from colotrace_coordinator.api.http.memory import give_back


async def test_memory_is_given_back_once_a_flood_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, trimmed = [0, 150, 10, 900, 300, 200, 10, 5, 400, 0], []

    class Library:
        @staticmethod
        def malloc_trim(pad: int) -> int:
            trimmed.append((pad, len(counts)))
            return 1

    def count() -> int:
        if not counts:
            raise asyncio.CancelledError
        return counts.pop(0)

    def library(name: Any) -> type[Library]:
        assert name is None
        return Library

    monkeypatch.setattr(ctypes, "CDLL", library)
    with contextlib.suppress(asyncio.CancelledError):
        await give_back(count, look_s=0)
    assert trimmed == [(0, 4), (0, 3), (0, 0)]
