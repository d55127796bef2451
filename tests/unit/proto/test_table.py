"""How a row looks on a terminal, and what it may not do to one."""

import re

import msgspec
import pytest
from colotrace_proto import rows
from colotrace_proto.layout import TextOutput, flow, grid
from colotrace_proto.table import trace_table
from colotrace_proto.text import width as width_of
from msgspec import UNSET

DENVER = rows.Colo(city="Denver, CO, US", name="den01")
REACHED = rows.TargetSummary(
    asn="AS64500",
    ip="192.0.2.9",
    name="www.example",
    packet_count=3,
    min_rtt_ms=1.0,
    mean_rtt_ms=2.0,
    max_rtt_ms=3.0,
    std_dev_rtt_ms=1.0,
)
UNREACHED = rows.TargetSummary(asn="*", ip="192.0.2.9", name="192.0.2.9", packet_count=0)


def node(ip="192.0.2.1", name="core.example", *, asn="AS64500", count=3, labels=UNSET):
    return rows.Node(
        asn=asn,
        ip=ip,
        name=name,
        packet_count=count,
        min_rtt_ms=0.5,
        mean_rtt_ms=1.25,
        max_rtt_ms=2.0,
        std_dev_rtt_ms=0.75,
        labels=labels,
    )


def hop(ttl, *nodes, sent=3, lost=0):
    return rows.Hop(packets_ttl=ttl, packets_sent=sent, packets_lost=lost, nodes=list(nodes))


def row(*hops, error="", summary=REACHED, city="Denver, CO, US"):
    return rows.ColoRow(
        colo=rows.Colo(city=city, name="den01"),
        error=error,
        hops=list(hops),
        target_summary=summary,
        traceroute_time_ms=35,
    )


def drawn(target, what, *, width=120, notes=(), encoding="utf-8"):
    return trace_table(target, what, on=TextOutput(width, encoding), notes=notes).splitlines()


def test_hop_is_one_line():
    """With TTL, address, name, ASN, loss and the four times."""
    lines = drawn("www.example", row(hop(1, node(), lost=1, sent=4)))
    assert lines[0] == "www.example from den01 (Denver, CO, US)"
    assert " ".join(lines[1].split()) == "TTL address name ASN lost loss min mean max stddev"
    expected = "1 192.0.2.1 core.example AS64500 1/4 25% 0.500 1.250 2.000 0.750"
    assert lines[3].split() == expected.split()
    assert (
        lines[4]
        == "192.0.2.9 reached, 3 answers, min/mean/max/stddev 1.000/2.000/3.000/1.000 ms, in 35 ms"
    )


def test_silent_hop_is_a_star():
    """With its loss and without times."""
    lines = drawn("t", row(hop(1, rows.SILENCE, lost=3), summary=UNREACHED))
    assert lines[3].split() == ["1", "*", "3/3", "100%"]
    assert lines[4] == "192.0.2.9 not reached in 35 ms"


def test_each_address_of_a_hop_has_a_line():
    """With its packets, as under load balancing; the hop's loss is shown once."""
    lines = drawn("t", row(hop(2, node(count=2), node("192.0.2.2", "b.example", count=1))))
    assert lines[3].split()[:4] == ["2", "192.0.2.1", "x2", "core.example"]
    assert lines[4].split()[:3] == ["192.0.2.2", "x1", "b.example"]
    assert "0/3" in lines[3]
    assert "0/3" not in lines[4]


def test_links_have_a_table():
    """Below the outcome, one line each; no table if none were requested."""
    links = [rows.Link(ttl=3, near="192.0.2.1", far="192.0.2.2\x1b", flows=11)]
    plain_row = row(hop(1, node()))
    lines = drawn("t", msgspec.structs.replace(plain_row, links=links))
    assert lines[:5] == drawn("t", plain_row)
    assert lines[5].split() == ["TTL", "link", "from", "to", "flows"]
    assert lines[7].split() == ["3", "192.0.2.1", "192.0.2.2\\x1b", "11"]


def test_unknown_values_are_empty():
    """A missing ASN, and a name that only repeats the address."""
    lines = drawn("t", row(hop(1, node(name="192.0.2.1", asn="*"))))
    assert lines[3].split()[:4] == ["1", "192.0.2.1", "0/3", "0%"]


def test_labels_have_a_column_only_if_there_are_any():
    """The labels column comes with the first label."""
    assert "labels" not in drawn("t", row(hop(1, node())))[1]
    lines = drawn("t", row(hop(1, node(labels=["!H", "!X"]))))
    assert lines[1].endswith("labels")
    assert lines[3].endswith("!H !X")


def test_row_with_an_error_shows_it_with_its_notes():
    """Without hops there is no empty table."""
    nothing = rows.TargetSummary(asn="", ip="", name="gone.example", packet_count=0)
    lines = drawn(
        "gone.example",
        row(error=rows.error_text(3), summary=nothing),
        notes=["den01: gone.example does not resolve"],
    )
    assert lines == [
        "gone.example from den01 (Denver, CO, US)",
        "no address was traced",
        "Could not gather traceroute data: Code 3",
        "den01: gone.example does not resolve",
    ]


LONG = "et-0-0-35-0.cr2-fra6.ip4.backbone.example.net"
IPV6 = "2001:db8:1234:5678:9abc:def0:1234:5678"
ZONED = "fe80::1234:5678:9abc:def0%enp3s0f1.1234"
SLOW = {
    "min_rtt_ms": 123456.789,
    "mean_rtt_ms": 234567.891,
    "max_rtt_ms": 345678.912,
    "std_dev_rtt_ms": 456789.123,
}
STACK = ["MPLS:L=24001,E=0,S=0,T=253", "MPLS:L=524287,E=7,S=1,T=1"]
HOPS = [
    hop(1, node(ZONED, ZONED, asn="*")),
    hop(2, rows.SILENCE, lost=3),
    hop(3, node("198.18.20.100", LONG, labels=STACK, count=2), node(IPV6, LONG, count=1)),
    hop(64, msgspec.structs.replace(node(IPV6, "例え." + LONG, asn="AS4294967295"), **SLOW)),
]
IPV4_HOPS = [
    hop(7, node("198.18.20.100", LONG)),
    hop(8, rows.SILENCE, lost=3),
    hop(9, node("203.0.113.129", "ae-4.r24.frnkge13.de.bb.gin.example.net")),
]


@pytest.mark.parametrize("width", [1, 12, 30, 40, 50, 80, 100, 120, 132, 200, None])
def test_addresses_and_numbers_are_never_shortened(width):
    """At any width, in every form: only names may be."""
    links = [rows.Link(ttl=3, near="198.18.20.100", far=IPV6, flows=11)]
    what = msgspec.structs.replace(row(*HOPS, summary=REACHED), links=links)
    words = set(re.split(r"[\s/]+", "\n".join(drawn("t", what, width=width))))
    assert {ZONED, "198.18.20.100", "x2", IPV6, "x1", "AS4294967295", *STACK} <= words
    assert {"123456.789", "234567.891", "345678.912", "456789.123", "3", "0", "100%"} <= words
    assert {"0.500", "1.250", "2.000", "0.750", "64", "11"} <= words


@pytest.mark.parametrize("width", [40, 50, 80, 120, 132, 200])
def test_no_line_is_wider_than_the_terminal(width):
    """In a terminal's columns, with wide characters."""
    lines = drawn("t", row(*HOPS), width=width, notes=["den01: " + "a word " * 40])
    assert max(map(width_of, lines)) <= width


def test_name_is_shortened_first():
    """At 80 columns a router's name of 45 characters loses its middle, and a hop stays one line."""
    lines = drawn("t", row(*IPV4_HOPS), width=80)
    ttl, address, name, *figures = lines[3].split()
    assert (ttl, address) == ("7", "198.18.20.100")
    assert "…" in name
    assert name.startswith("et-0-0")
    assert name.endswith("net")
    assert figures == ["AS64500", "0/3", "0%", "0.500", "1.250", "2.000", "0.750"]


def test_narrow_terminal_has_lines_instead_of_columns():
    """The name has a line of its own, and the figures follow below."""
    lines = drawn("t", row(*IPV4_HOPS), width=50)
    assert lines[4].split() == ["7", "198.18.20.100"]
    assert lines[5].split() == [LONG, "AS64500"] or lines[5].split() == [LONG]
    assert ["0/3", "0%", "0.500/1.250/2.000/0.750"] in [line.split() for line in lines]
    assert ["8", "*"] in [line.split() for line in lines]


def test_nothing_is_shortened_in_a_file():
    """Without a terminal there is no bound, and a hop is one line."""
    lines = drawn("t", row(*HOPS), width=None)
    assert "…" not in "".join(lines)
    assert sum(LONG in line for line in lines) == 3


def test_labels_that_do_not_fit_are_below():
    """The columns stay, and each label is whole."""
    lines = drawn("t", row(hop(3, node("198.18.20.100", LONG, labels=STACK))), width=80)
    assert "labels" not in lines[1]
    assert lines[4].split() == STACK


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_encoding_without_the_characters_has_substitutes(encoding):
    """Rule and ellipsis in ASCII, letters as escapes, and the columns still align."""
    lines = drawn("t", row(*HOPS, city="Zürich 例"), width=120, encoding=encoding)
    text = "\n".join(lines)
    text.encode(encoding)
    assert "---" in text
    assert r"\u4f8b" in text
    assert max(map(len, lines)) <= 120


def test_wide_characters_take_two_columns():
    """Columns behind such a name still align."""
    wide, narrow = drawn(
        "t", row(hop(1, node(name="例え.example")), hop(2, node(name="e\u0301tat.example")))
    )[3:5]
    at = [width_of(line[: line.index("AS64500")]) for line in (wide, narrow)]
    assert at[0] == at[1]


def test_words_wrap_without_being_cut():
    """A word that is too long for the indented width begins further left, or has a line of its
    own."""
    assert flow(["aa", "bb", "cc"], TextOutput(5)) == ["aa bb", "cc"]
    assert flow(["aa", "bbbb"], TextOutput(5), indent=2) == ["aa", " bbbb"]
    assert flow(["abcdefgh"], TextOutput(5), indent=2) == ["abcdefgh"]
    assert flow(["a", "b"], TextOutput(None), indent=2, first=1) == [" a b"]


def test_style_is_only_for_terminals():
    """Bold headings there, no escape sequence elsewhere."""
    what = row(hop(1, node()), error=rows.error_text(3))
    styled = trace_table("t", what, on=TextOutput(80, styled=True))
    assert styled.startswith("\x1b[1mt from den01")
    assert "\x1b[31mCould not" in styled
    assert "\x1b" not in trace_table("t", what, on=TextOutput(80))


def test_grid_pads_by_width():
    """On the right or left, but not behind the last cell."""
    assert grid(["a", "b"], [["例", "x"]], right=[True, False]) == [" a b", "例 x"]


def test_markup_and_control_characters_are_shown_as_text():
    """A PTR record cannot colour, move or clear the terminal, or contain rich's markup."""
    evil = "[bold red]x[/]\x1b[2J\x9b1m\x07\u202e"
    lines = drawn(evil, row(hop(1, node(name=evil, asn=evil, labels=[evil])), city=evil), width=300)
    text = "\n".join(lines)
    assert "[bold red]x[/]" in text
    assert not set("\x1b\x9b\x07\u202e") & set(text)
