"""What text from strangers may not do to a terminal or a log, and how it is cut."""

import unicodedata

import pytest
from colotrace_proto.text import encodable, fit, safe, safe_event, safe_lines, width
from hypothesis import given
from hypothesis import strategies as st

# Every code point, surrogates included, which st.text() leaves out.
ANYTHING = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cs", "Cf", "Cc", "Mn", "Zs", "Zl"])),
    max_size=600,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("core1.den.example.net", "core1.den.example.net"),
        ("München, 例え, 서울, עִבְרִית", "München, 例え, 서울, עִבְרִית"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\x9b31m\x85b\x7f", r"a\x9b31m\x85b\x7f"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\u202eevil\u2066x\u2069\u200f\u061c", r"\u202eevil\u2066x\u2069\u200f\u061c"),
        ("a\u200bb\u200d\ufeff\u00ad\u2060", r"a\u200bb\u200d\ufeff\xad\u2060"),
        ("a\u2028b\u2029c\u00a0d\u3000", r"a\u2028b\u2029c\xa0d\u3000"),
        ("m\udcfcnchen", r"m\xfcnchen"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("a\u034f\u3164\ufe0f\u2800", r"a\u034f\u3164\ufe0f\u2800"),
        ("\u0301a", r"\u0301a"),
        ("a\u0301\u0302\u0303\u0304", "a\u0301\u0302\u0303" + r"\u0304"),
    ],
)
def test_characters_that_a_terminal_obeys_or_hides_are_escaped(text, shown):
    """Controls, format characters, odd spaces, surrogates and bytes. Letters stay."""
    assert safe(text) == shown
    assert safe(shown) == shown


@given(ANYTHING, st.integers(1, 300))
def test_safe_text_is_visible_and_bounded(text, most):
    """Any input gives text that can be shown and encoded, of at most the given length."""
    made = safe(text, most=most)
    assert made.isprintable()
    assert len(made) <= most
    assert not {unicodedata.category(c) for c in made} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    made.encode()
    whole = safe(text, most=10_000)
    assert made == whole if len(whole) <= most else made.endswith("…")
    assert whole.startswith(made.removesuffix("…"))


def test_escape_is_never_cut():
    """One that does not fit is left out as a whole."""
    assert safe("abc\x1bd", most=6) == "abc…"
    assert safe("abc\x1b", most=7) == r"abc\x1b"


def test_huge_text_costs_no_more_than_its_bound():
    """Only the part that can be shown is looked at."""

    class Counted(str):
        __slots__ = ()

        def __getitem__(self, key):
            assert isinstance(key, slice)
            assert key.stop <= 21
            return str.__getitem__(self, key)

    assert safe(Counted("\x1b" * 10_000_000), most=20) == r"\x1b" * 4 + "…"


def test_values_of_a_log_event_are_safe_and_bounded():
    """Also nested ones, keys and objects. Numbers stay numbers."""
    made = safe_event(
        None,
        "info",
        {
            "event": "request\x1b",
            "path": "/" + "x" * 100_000,
            "status": 404,
            "none": None,
            "many": ["\u202e"] * 1_000,
            "nested": {"a\n": {"b": "\x9b"}},
            "error": ValueError("from\na peer"),
        },
    )
    assert made["event"] == r"request\x1b"
    assert len(made["path"]) == 500
    assert (made["status"], made["none"]) == (404, None)
    assert len(made["many"]) == 51
    assert made["nested"] == {"a\\n": {"b": r"\x9b"}}
    assert made["error"] == r"from\na peer"
    assert len(repr(made)) < 2_000


def test_deep_value_is_bounded():
    """Below some depth it becomes text."""
    value: list = []
    for _ in range(100):
        value = [value]
    assert len(repr(safe_event(None, "info", {"v": value}))) < 1_000


def test_traceback_keeps_its_lines_and_its_end():
    """A long one loses its beginning; escapes in it are escaped."""
    made = safe_event(None, "error", {"exception": "x\n" * 20_000 + "E: \x1b]0;t\x07"})
    text = made["exception"]
    assert text.endswith("x\n" + r"E: \x1b]0;t\x07")
    assert text.startswith("…")
    assert len(text) < 17_000
    assert safe_lines("a\nb\x1b", most=20) == "a\nb\\x1b"


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("a…→b", "utf-8", "a…→b"),
        ("a…→b", "ascii", "a...->b"),
        ("Zürich 例", "latin-1", "Zürich " + r"\u4f8b"),
        ("Zürich", "ascii", r"Z\xfcrich"),
    ],
)
def test_characters_that_an_encoding_lacks_have_substitutes(text, encoding, shown):
    """Nothing raises: signs have similar ones, letters are escaped."""
    assert encodable(text, encoding) == shown


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("例え", 4), ("e\u0301", 1), ("", 0), ("한국", 4)]
)
def test_width_is_that_of_a_terminal(text, columns):
    """Wide characters take two columns, combining ones none."""
    assert width(text) == columns


def test_fit_leaves_out_the_middle():
    """Both ends of a name stay. Text that fits stays whole."""
    assert fit("core1.example.net", 17) == "core1.example.net"
    assert fit("et-0-0-1.core1.den.example.net", 15) == "et-0-0-…ple.net"
    assert fit("et-0-0-1.core1.den.example.net", 15, ellipsis="...") == "et-0-0...le.net"
    assert fit("例えば例えば", 6) == "例…ば"
    assert fit("abc", 1) == "…"
    assert fit("abc", 0) == ""


@given(st.text(max_size=60), st.integers(0, 40))
def test_fitted_text_has_at_most_the_given_width(text, columns):
    """In columns, not in characters."""
    assert width(fit(safe(text), columns)) <= columns
