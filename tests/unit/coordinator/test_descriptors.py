"""Open files: the limit that is raised, and who has how many of them."""

import resource

import pytest
from colotrace_coordinator.descriptors import OWN, raise_limit, share


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


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [
        (1_024, 524_288, 65_536),
        (1_024, 4_096, 4_096),
        (4_096, 4_096, 4_096),
        (100_000, 524_288, 100_000),
        (1_024, resource.RLIM_INFINITY, 65_536),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 65_536),
    ],
)
def test_soft_limit_is_raised_as_far_as_needed(
    soft: int, hard: int, raised: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: now.append(limits))
    assert raise_limit() == raised
    assert now[-1][1] == hard
    assert now[-1][0] in (raised, resource.RLIM_INFINITY)
