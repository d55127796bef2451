"""A job whose options name an address family, and agents of release 0.2, which ignore that."""

import pytest
from colotrace_coordinator.jobs.commands import Offer
from colotrace_proto.measured import Options
from colotrace_proto.messages import Family
from unit.coordinator.jobs.virtual import Clockwork

ONLY4, ONLY6 = frozenset({Family.IPV4}), frozenset({Family.IPV6})


def wanting(family: Family, *, shared: bool = False) -> Clockwork:
    """A job for a name, that is not placed yet."""
    options = Options(family=family)
    return Clockwork(family=family, options=options, start=False, shared=shared)


def offered(run: Clockwork) -> list[tuple[str, bool, Family | None]]:
    """The agent of each offer, whether it was shared, and the family that it names."""
    return [(c.agent.agent_id, c.shared, c.job.family) for c in run.sent if isinstance(c, Offer)]


def test_agent_with_the_family_is_told_it() -> None:
    run = wanting(Family.IPV6)
    run.attach("a", families=ONLY4, settle=False)
    run.attach("b", families=ONLY6, settle=False)
    run.settle()
    assert offered(run) == [("b", False, Family.IPV6)]


def test_agent_that_ignores_the_family_is_not_asked() -> None:
    run = wanting(Family.IPV6)
    run.attach("a", version=1, settle=False)
    run.settle()
    words = "no agent of den01 can be told which address family to use; a newer agent can"
    assert run.failed == (1, words)


def test_agent_that_ignores_the_family_and_has_no_other_is_asked() -> None:
    run = wanting(Family.IPV6)
    run.attach("a", version=1, families=ONLY6, settle=False)
    run.settle()
    assert offered(run) == [("a", False, Family.IPV6)]


@pytest.mark.parametrize(("version", "shared"), [(1, False), (2, True)])
def test_offer_is_shared_only_where_each_agent_knows_families(version: int, shared: bool) -> None:
    """The broker might give it to any agent of the colo."""
    run = wanting(Family.IPV4, shared=True)
    for name in ("a", "b"):
        run.attach(name, settle=False)
    run.attach("c", version=version, settle=False)
    run.settle()
    assert offered(run) == [("a", shared, Family.IPV4)]


def test_no_agent_with_the_family() -> None:
    run = wanting(Family.IPV6)
    run.attach("a", families=ONLY4, settle=False)
    run.settle()
    assert run.failed == (3, "no agent of den01 has an IPv6 address to trace from")
