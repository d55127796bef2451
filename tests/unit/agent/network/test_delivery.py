"""Which addresses are the host's own, with rtnetlink and where something forbids it."""

import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from colotrace_agent.network import delivery
from colotrace_agent.network.rtnetlink import Kernel

OWN = ["127.0.0.1", "127.0.0.9", "127.0.0.1"]
OTHERS = ["192.0.2.77", "198.51.100.1"]


def kinds(addresses: list[str]) -> list[str | None]:
    return delivery.kinds([ipaddress.ip_address(each).packed for each in addresses])


def test_more_than_are_asked_for_at_once() -> None:
    """In their order."""
    assert kinds([*OTHERS, *OWN] * 20) == [None, None, "own", "own", "own"] * 20


def test_nothing_is_asked_of_no_target() -> None:
    assert kinds([]) == []


def is_routed(address: str) -> bool:
    """Whether this host could send there; one without a network cannot."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.connect_ex((address, 9)) == 0


def test_addresses_of_several_hosts_are_no_targets() -> None:
    """Broadcast of loopback, and multicast if there is a route for it."""
    assert None not in kinds(["127.255.255.255", *["224.0.0.1"] * is_routed("224.0.0.1")])


def unable(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """rtnetlink answers `after` batches of requests, and then no more."""

    class Unable(Kernel):
        def send(self, kind: int, questions: Sequence[bytes], *, flags: int = 0) -> None:
            nonlocal after
            after -= 1
            if after < 0:
                raise TimeoutError
            super().send(kind, questions, flags=flags)

    monkeypatch.setattr(delivery, "Kernel", Unable)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_without_rtnetlink(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Own addresses are still found, also if rtnetlink stops answering half-way."""
    unable(monkeypatch, after=after)
    assert kinds([*OTHERS, *OWN] * 20) == [None, None, "own", "own", "own"] * 20


def test_without_rtnetlink_in_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    interfaces = Path("/proc/net/if_inet6")
    if not interfaces.exists() or "0" * 31 + "1" not in interfaces.read_text():
        pytest.skip("this host has no IPv6")
    unable(monkeypatch, after=0)
    assert kinds(["::1", "2001:db8::77"]) == ["own", None]


def test_a_host_that_binds_to_any_address_is_not_taken_for_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With `ip_nonlocal_bind`, binding tells nothing."""
    unable(monkeypatch, after=0)

    class BindsToAll(socket.socket):
        def bind(self, _: object) -> None:
            """Accept any address."""

    monkeypatch.setattr(socket, "socket", BindsToAll)
    assert kinds(["203.0.113.1"]) == [None]
