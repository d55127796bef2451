"""How a row looks on a terminal, and what it may not do to one."""

import io

import msgspec
import pytest
from colotrace_proto import rows
from colotrace_proto.table import trace_table
from msgspec import UNSET
from rich.console import Console

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


def drawn(target, what, *, width=120, notes=()):
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(trace_table(target, what, notes=notes))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_hop_is_a_line_with_its_figures():
    """TTL, address, name, ASN, loss and the four times stand on one line."""
    lines = drawn("www.example", row(hop(1, node(), lost=1, sent=4)))
    assert lines[0] == "www.example from den01 (Denver, CO, US)"
    assert " ".join(lines[1].split()) == "TTL address name ASN lost loss min mean max stddev"
    expected = "1 192.0.2.1 core.example AS64500 1/4 25% 0.500 1.250 2.000 0.750"
    assert lines[3].split() == expected.split()
    assert (
        lines[4]
        == "192.0.2.9 reached, 3 answers, min/mean/max/stddev 1.000/2.000/3.000/1.000 ms, in 35 ms"
    )


def test_a_silent_hop_is_a_star():
    """A hop where nothing answered shows `*` and its loss, and no times."""
    lines = drawn("t", row(hop(1, rows.SILENCE, lost=3), summary=UNREACHED))
    assert lines[3].split() == ["1", "*", "3/3", "100%"]
    assert lines[4] == "192.0.2.9 not reached in 35 ms"


def test_several_addresses_at_a_hop_have_a_line_each():
    """Load balancing: each address with its packets; the hop's loss only once."""
    lines = drawn("t", row(hop(2, node(count=2), node("192.0.2.2", "b.example", count=1))))
    assert lines[3].split()[:4] == ["2", "192.0.2.1", "x2", "core.example"]
    assert lines[4].split()[:3] == ["192.0.2.2", "x1", "b.example"]
    assert "0/3" in lines[3]
    assert "0/3" not in lines[4]


def test_links_have_a_table_of_their_own():
    """Behind the outcome, a line each; none where none were asked for."""
    links = [rows.Link(ttl=3, near="192.0.2.1", far="192.0.2.2\x1b", flows=11)]
    plain_row = row(hop(1, node()))
    lines = drawn("t", msgspec.structs.replace(plain_row, links=links))
    assert lines[:5] == drawn("t", plain_row)
    assert lines[5].split() == ["TTL", "link", "from", "to", "flows"]
    assert lines[7].split() == ["3", "192.0.2.1", "192.0.2.2\\x1b", "11"]


def test_what_is_not_known_stays_empty():
    """No ASN, and a name that only repeats the address, are not printed."""
    lines = drawn("t", row(hop(1, node(name="192.0.2.1", asn="*"))))
    assert lines[3].split()[:4] == ["1", "192.0.2.1", "0/3", "0%"]


def test_labels_have_a_column_only_where_there_are_some():
    """The labels column comes with the first label."""
    assert "labels" not in drawn("t", row(hop(1, node())))[1]
    lines = drawn("t", row(hop(1, node(labels=["!H", "!X"]))))
    assert lines[1].endswith("labels")
    assert lines[3].endswith("!H !X")


def test_an_error_is_told_with_its_words():
    """A row without hops shows its error and the notes, and no empty table."""
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


@pytest.mark.parametrize("width", [80, 200])
def test_nothing_is_lost_on_a_narrow_terminal(width):
    """IPv6 addresses and long names are folded, never cut."""
    name = "a-very-long-interface-name.core-router-12.frankfurt.example"
    address = "2001:db8:1234:5678:9abc:def0:1234:5678"
    drawing = drawn("t", row(hop(1, node(address, name, labels=["!H"]))), width=width)
    assert all(len(line) <= width for line in drawing)
    text = "".join("".join(line.split()) for line in drawing)
    assert "!H" in text
    if width == 200:
        assert address in text
        assert name in text
    else:
        assert set(address) <= set(text)


def test_markup_and_control_characters_are_only_text():
    """A PTR record cannot colour, move or clear the terminal, nor speak rich's markup."""
    evil = "[bold red]x[/]\x1b[2J\x9b1m\x07\u202e"
    lines = drawn(evil, row(hop(1, node(name=evil, asn=evil, labels=[evil])), city=evil), width=300)
    text = "\n".join(lines)
    assert "[bold red]x[/]" in text
    assert not set("\x1b\x9b\x07\u202e") & set(text)
