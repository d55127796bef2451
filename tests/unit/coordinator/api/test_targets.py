"""What can name a target."""

import pytest
from colotrace_coordinator.api.request.targets import fault
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "target",
    [
        "203.0.113.1",
        "2001:db8::1",
        "::",
        "::ffff:192.0.2.1",
        "cloudflare.com",
        "cloudflare.com.",
        "localhost",
        "a_b.example",
        "_dmarc.example.net",
        "xn--bcher-kva.example",
        "bücher.example",
        "例え.テスト",
        "straße.example",
        "münchen。example",
        "☃.example",
        "a\u200db.example",
        "3com.com",
        "1.2.3.4.in-addr.arpa",
        "a" * 63 + ".example",
        ".".join(["a" * 61] * 4),
    ],
)
def test_names_a_target(target: str) -> None:
    assert fault(target) is None


@pytest.mark.parametrize(
    "target",
    [
        "",
        " ",
        "a b",
        "a\n",
        "a\x00b",
        ".",
        "a..b",
        ".a",
        "-a.example",
        "a-.example",
        "http://example.net",
        "example.net:80",
        "example.net/x",
        "[::1]",
        "fe80::1%eth0",
        "192.0.2.1%1",
        "192.0.2",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "192.0.2.256",
        "192.0.2.01",
        "1:2:3",
        "a" * 64,
        "a" * 256,
        ".".join(["a" * 61] * 5),
        "ü" * 200,
        "--help",
        "$(id)",
        "١٢٧.0.0.1",
        "１２７.0.0.1",  # noqa: RUF001 - full-width digits
        "\u202eok.test",
    ],
)
def test_names_none(target: str) -> None:
    """Above all not what some resolver would read as an address behind the policy's back."""
    assert fault(target)


@given(st.text(max_size=300))
def test_any_text(target: str) -> None:
    fault(target)
