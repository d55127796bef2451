"""Labels for the links of link-local addresses."""

import socket

import pytest
from colotrace_agent.network.route import source_for
from colotrace_agent.network.zone import zone_label


def test_the_label_has_the_interfaces_name() -> None:
    """As RFC 4007 section 11 writes it behind the address."""
    assert zone_label(socket.if_nametoindex("lo")) == "%lo"


def test_an_interface_that_has_gone_is_its_index() -> None:
    """It may have, between the packet's arrival and its reading."""
    gone = max(index for index, _ in socket.if_nameindex()) + 1_000
    assert zone_label(gone) == f"%{gone}"


def test_a_name_of_any_bytes_is_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux takes nearly all of them, and a label must be valid UTF-8."""
    name = b"a\xff\xc3\xa9%b\x01".decode("utf-8", "surrogateescape")
    monkeypatch.setattr(socket, "if_indextoname", lambda _: name)
    assert zone_label(7) == "%a%FF%C3%A9%25b%01"


@pytest.mark.parametrize("address", ["fe80::1", "febf:ffff::1"])
def test_a_link_local_target_is_refused_in_words(address: str) -> None:
    """The kernel would say "Invalid argument"."""
    with pytest.raises(OSError, match="any of the host's links"):
        source_for(socket.inet_pton(socket.AF_INET6, address))
