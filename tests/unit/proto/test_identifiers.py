"""What may stand as HOST:PORT."""

import pytest
from colotrace_proto.identifiers import is_address, with_ascii_host
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "text",
    [
        "h:1",
        "h.:1",
        "a_b:1",
        "10.0.0.1:50051",
        "coordinator-1.example.net:65535",
        "[::1]:443",
        "[fe80::1.2.3.4]:1",
    ],
)
def test_host_and_port_are_parsed(text: str) -> None:
    """Names, IPv4, IPv6 in brackets."""
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "h",
        "h:",
        "h:0",
        "h:65536",
        "h:123456",
        "h:-1",
        "h:\u0661",
        "h:1\n",
        "::1:443",
        "[::1]",
        "[]:1",
        "a/b:1",
        "dns:///h:1",
        "unix:/x:1",
        "u@h:1",
        f"{'a' * 256}:1",
        "127.1:1",
        "a..b:1",
        "-h:1",
        "[1.2.3.4]:1",
        "[:]:1",
        "straße.example:1",
    ],
)
def test_other_text_is_no_host_and_port(text: str) -> None:
    """Nor is text that gRPC would take for another kind of target."""
    assert not is_address(text)


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("straße.example:1", "xn--strae-oqa.example:1"),
        ("münchen。example:1", "xn--mnchen-3ya.example:1"),
        ("h:1", "h:1"),
        ("[::1]:1", "[::1]:1"),
        ("☃.example:1", "xn--n3h.example:1"),
        ("a\u200db.example:1", "a\u200db.example:1"),
        ("ü", "ü"),
        ("h:ü", "h:ü"),
        ("", ""),
    ],
)
def test_names_of_other_scripts_are_converted(text: str, ascii_text: str) -> None:
    """Once, where the user enters them."""
    assert with_ascii_host(text) == ascii_text


@given(st.text())
def test_any_text_is_host_and_port_or_refused(text: str) -> None:
    """A result is short, printable and has a port."""
    if is_address(text):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) < 300
        assert int(text.rpartition(":")[2]) > 0
