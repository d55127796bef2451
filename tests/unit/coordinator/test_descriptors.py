"""How many of the open files clients may have, and how many agents."""

import pytest
from colotrace_coordinator.descriptors import OWN, share


def test_enough_for_everybody() -> None:
    got = share(65_536, connections=10_000, agents=5_000)
    assert (got.connections, got.agents, got.enough) == (10_000, 5_000, True)
    got = share(15_000 + OWN, connections=10_000, agents=5_000)
    assert got.enough


@pytest.mark.parametrize("limit", [0, 64, 256, 1_024, 4_096, 15_000])
def test_agents_keep_a_third_of_what_there_is(limit: int) -> None:
    got = share(limit, connections=10_000, agents=5_000)
    assert not got.enough
    assert got.connections >= 1
    assert got.agents >= min(5_000, (limit - OWN) // 3)
    assert got.connections + got.agents <= max(limit - OWN, 3)
