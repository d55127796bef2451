"""Which addresses are the host's own, with rtnetlink and where something forbids it."""

import ipaddress

import pytest
from colotrace_agent.network import delivery

OWN = ["127.0.0.1", "127.0.0.9", "::1"]
OTHERS = ["192.0.2.1", "2001:db8::1"]


def kinds(addresses: list[str]) -> list[str | None]:
    return delivery.kinds([ipaddress.ip_address(each).packed for each in addresses])


def test_more_than_are_asked_for_at_once() -> None:
    """In their order."""
    assert kinds([*OTHERS, *OWN] * 20) == [None, None, "own", "own", "own"] * 20


def test_nothing_is_asked_of_no_target() -> None:
    assert kinds([]) == []


def test_without_rtnetlink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own addresses are refused all the same."""

    def forbidden() -> None:
        raise PermissionError

    monkeypatch.setattr(delivery, "Kernel", forbidden)
    assert kinds([*OTHERS, *OWN]) == [None, None, "own", "own", "own"]
