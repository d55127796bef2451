"""The application of the unit tests, behind a real server on the product's event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop
from integration.coordinator.api.watched import Bed
from unit.coordinator.api.conftest import credentials, history, make_app, ready, tracer

__all__ = ["credentials", "history", "make_app", "ready", "tracer"]


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    async with Bed().run() as running:
        yield running
