"""A coordinator that the broker is reachable for."""

from collections.abc import AsyncIterator

import pytest
from eventually import until
from fleet import Broker
from integration.coordinator.links.mqtt.at_broker import Coordinator, reachable, running


@pytest.fixture
async def coordinator(broker: Broker) -> AsyncIterator[Coordinator]:
    async with running(broker) as coordinator:
        await until(lambda: reachable(coordinator))
        yield coordinator
