"""A follower and a runner, with messages between them."""

import pytest
from unit.coordinator.peers.relay.between import World


@pytest.fixture
def world() -> World:
    return World()
