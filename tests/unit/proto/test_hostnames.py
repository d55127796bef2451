"""What is a host name, and how the DNS knows it."""
# ruff: noqa: RUF001 - characters that look like others are what this is about

import pytest
from colotrace_proto.hostnames import MAX_NAME, HostNameError, IdnaRuleError, is_host_name, to_ascii
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # IDNA 2008: sharp s, final sigma and joiners are letters of their own.
        ("straße.example", "xn--strae-oqa.example"),
        ("STRASSE.example", "STRASSE.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("βόλος.example", "xn--nxasmm1c.example"),
        ("क्\u200cकम.example", "xn--11ba9ewf162j.example"),
        # UTS 46: case, width, compatibility and dots.
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("mu\u0308nchen.example", "xn--mnchen-3ya.example"),
        ("münchen。example．", "xn--mnchen-3ya.example."),
        ("ＡＢＣ.example", "abc.example"),
        ("exam\u200bple\u00ad.test", "example.test"),
        ("ﬁ.example", "fi.example"),
        ("中国。example", "xn--fiqs8s.example"),
        ("אב1.example", "xn--1-zhcd.example"),
        # Symbols are no part of IDNA 2008, and valid in UTS 46.
        ("☃.example", "xn--n3h.example"),
        ("🍕🍕.example", "xn--vi8ha.example"),
        ("I♥️.example", "xn--i-n3p.example"),
        # ASCII goes to the DNS as it is, whatever it once stood for.
        ("xn--vi8hiv.example", "xn--vi8hiv.example"),
        ("xn--a.example", "xn--a.example"),
        ("under_score.x", "under_score.x"),
        ("_dmarc.Example.NET.", "_dmarc.Example.NET."),
        ("web", "web"),
        ("ab--cd.example", "ab--cd.example"),
        ("1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa"),
        ("a" * 63 + ".x", "a" * 63 + ".x"),
    ],
)
def test_name_is_converted_to_its_dns_form(text: str, name: str) -> None:
    """As curl and the C library with AI_IDN do it."""
    assert to_ascii(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *["", ".", "..", "a..b", ".a", "a..", "é..x", ".é"],
        *["-a.x", "a-.x", "xn--", "-é.x", "é-.x", "ab--é.x"],
        *["a b", "a\x00", "a\n", "a/b", "é/x", "é%.x", "http://web/", "web:80", "[::1]", "*.x"],
        *["user@x.example", "a,b", "1.2.3.4/8", "℀.x", "⑴.x"],
        # No characters of names, or not in that place.
        *["a\u200db.example", "👩\u200d💻.example", "☃\u200c.x", "\u202eok.x", "\u0301a.x", "1א.x"],
        *["a\ufffdb.x", "\ud800.x", "a\udcfc.x", "☃=.x", "-☃.x", "א☃a.x", "\u0301☃.x"],
        # An IPv4 address to some resolvers.
        *["127.1", "2130706433", "0x7f.1", "0x7f000001", "a.1", "１２７.0.0.1", "192.0.2.256"],
        # Too long, before and after the conversion.
        *["a" * 64 + ".x", ".".join(["a" * 61] * 5), "ü" * 200, ".".join(["ü" * 50] * 5)],
        *["ä" * 100_000, "." * 100_000],
    ],
)
def test_invalid_name_is_refused_with_a_reason(text: str) -> None:
    """The reason is short, and contains nothing that a terminal would obey."""
    with pytest.raises(HostNameError) as caught:
        to_ascii(text)
    assert str(caught.value).isprintable()
    assert 0 < len(str(caught.value)) < 120
    assert not is_host_name(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [("a\u200db.example", True), ("1א.x", True), ("\u202eok.x", False), ("é%.x", False)],
)
def test_names_that_only_a_rule_forbids_are_told_apart(text: str, rule: bool) -> None:
    """From text that is no name at all."""
    with pytest.raises(HostNameError) as caught:
        to_ascii(text)
    assert isinstance(caught.value, IdnaRuleError) is rule


@given(st.text() | st.text("aäß-._。x1א\u200d", max_size=300))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """A converted name is converted to itself."""
    try:
        name = to_ascii(text)
    except HostNameError:
        return
    assert name.isascii()
    assert len(name.removesuffix(".")) <= MAX_NAME
    assert all(0 < len(label) <= 63 for label in name.removesuffix(".").split("."))
    assert to_ascii(name) == name
