"""The service with scripted agents, for the tests of this directory."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from integration.coordinator.service.traced import Coordinator


@pytest.fixture
async def coordinator() -> AsyncIterator[Coordinator]:
    async with AsyncExitStack() as stack:
        coordinator = Coordinator(stack)
        coordinator.port = await coordinator.link.start()
        yield coordinator
        await coordinator.link.stop()
