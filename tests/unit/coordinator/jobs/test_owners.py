"""The owner of a job, as agents are told it."""

from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.jobs.owners import owner_of
from colotrace_proto.messages import Owner


def test_requests_of_one_caller_have_one_owner() -> None:
    assert owner_of(Origin("acme", "token 1", 1)) == owner_of(Origin("acme", "token 1", 2))


def test_callers_differ_and_have_their_account() -> None:
    """The same caller's name in two accounts is two callers."""
    first, second = (owner_of(Origin("acme", name, 1)) for name in ("token 1", "token 2"))
    assert first.account == second.account
    assert first.caller != second.caller
    stranger = owner_of(Origin("other", "token 1", 1))
    assert stranger.account != first.account
    assert stranger.caller != first.caller


def test_numbers_are_those_of_every_coordinator() -> None:
    """Also of one that runs another version. So they must not change."""
    assert owner_of(Origin("acme", "token 1", 1)) == Owner(2_521_852_523, 2_907_194_770)
