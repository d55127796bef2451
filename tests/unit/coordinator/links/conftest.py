"""A direct link that reports to a recording fleet."""

from collections.abc import AsyncIterator

import pytest
from colotrace_coordinator.links.direct.server import DirectLink
from unit.coordinator.links.recording import RecordingFleet, make


@pytest.fixture
def fleet() -> RecordingFleet:
    return RecordingFleet()


@pytest.fixture
async def link(fleet: RecordingFleet) -> AsyncIterator[DirectLink]:
    link = make(fleet)
    yield link
    await link.stop()
