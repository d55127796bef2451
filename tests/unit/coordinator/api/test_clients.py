"""Clients' addresses, and the proxies that tell them."""

from ipaddress import ip_network

import pytest
from colotrace_coordinator.api.http.clients import Proxies, key, plain
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.listen import parse_network

TRUSTED = [ip_network("127.0.0.1/32"), ip_network("2001:db8::/32"), ip_network("10.0.0.0/8")]


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.80", "192.0.2.80/32"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("2001:db8::80", "2001:db8::80/128"),
        ("::ffff:192.0.2.80", "192.0.2.80/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_proxy(text: str, network: str) -> None:
    assert str(parse_network(text, flag="--trusted-proxy")) == network


@pytest.mark.parametrize(
    "text", ["", "*", "proxy.example", "192.0.2.1/24", "192.0.2.1:80", "[::1]", "fe80::1%eth0/64"]
)
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(SetupError, match="--trusted-proxy"):
        parse_network(text, flag="--trusted-proxy")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8::5", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["9.9.9.9, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["9.9.9.9", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1, 10.1.2.3 ,127.0.0.1"], "198.51.100.1"),
        ("127.0.0.1", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("127.0.0.1", ["[2001:dba::1]:4711"], "2001:dba::1"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, \x1b[31m, 10.0.0.9"], "10.0.0.9"),
        ("127.0.0.1", [""], "127.0.0.1"),
    ],
)
def test_client_behind_proxies(peer: str, forwarded: list[str], client: str) -> None:
    """The last hop that is no proxy's; what a proxy cannot have written is not believed."""
    lines = [line.encode("latin-1") for line in forwarded]
    assert Proxies(TRUSTED).client(peer, lines) == client


def test_no_proxy_is_believed_where_none_is_trusted() -> None:
    assert Proxies().client("127.0.0.1", [b"192.0.2.1"]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("x" * 100, "x" * 64),
    ],
)
def test_what_is_counted_together(text: str, counted: str) -> None:
    assert key(text) == counted


def test_address_as_it_is_logged() -> None:
    assert [plain(text) for text in ("::ffff:192.0.2.1", "fe80::1%eth0", "2001:db8::1")] == [
        "192.0.2.1",
        "fe80::1",
        "2001:db8::1",
    ]
