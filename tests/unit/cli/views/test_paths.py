"""The paths of all colos together, as a tree and as a table."""

import pytest
from colotrace_cli.views.paths import as_matrix, as_tree
from colotrace_proto import rows
from colotrace_proto.layout import TextOutput
from colotrace_proto.text import width


def node(ip, name="", rtt_ms=1.5):
    return rows.Node(asn="AS64500", ip=ip, name=name or ip, packet_count=3, mean_rtt_ms=rtt_ms)


def row(colo, length, rtt_ms=1.5):
    """A path of so many hops to the target; the second one is silent."""
    nodes = [
        node(f"192.0.2.{ttl}", f"core{ttl}.{colo}.example", rtt_ms) for ttl in range(1, length)
    ]
    hops = [
        rows.Hop(packets_ttl=ttl, packets_sent=3, packets_lost=0, nodes=[each])
        for ttl, each in enumerate([*nodes, node("198.51.100.9", "web.example", rtt_ms)], 1)
    ]
    hops[1] = rows.Hop(packets_ttl=2, packets_sent=3, packets_lost=3, nodes=[rows.SILENCE])
    summary = rows.TargetSummary(
        asn="AS64500", ip="198.51.100.9", name="web.example", packet_count=3, mean_rtt_ms=rtt_ms
    )
    return rows.ColoRow(
        colo=rows.Colo(city="Denver, CO, US", name=colo),
        error="",
        hops=hops,
        target_summary=summary,
        traceroute_time_ms=5,
    )


@pytest.fixture
def target():
    return rows.TargetRow(target="web.example", colos=[row("den01", 6), row("sin01", 4)])


def test_hops_are_aligned_at_the_target(target):
    heading, head, _, first, second = as_matrix(target, TextOutput())
    assert heading == "web.example"
    assert head.split() == ["colo", "ms", "loss", "-5", "-4", "-3", "-2", "-1", "target"]
    assert first.index("web.example") == second.index("web.example") == head.index("target")
    assert second.split()[:4] == ["sin01", "1.500", "0%", "core1.sin01.example"]


def test_silence_is_an_asterisk(target):
    assert " * " in as_matrix(target, TextOutput())[3]


def test_hops_near_the_target_are_shown_where_not_all_fit(target):
    lines = as_matrix(target, TextOutput(60))
    assert lines[1].split()[-1] == "target"
    assert lines[-1].endswith("hops further from the target do not fit")


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize("coding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_terminal(target, columns, coding):
    on = TextOutput(columns, coding)
    for line in (*as_matrix(target, on), *as_tree(target, on)):
        assert width(line) <= columns
        line.encode(coding)


def test_words_of_the_network_are_escaped():
    found = row("den01", 4)
    found.hops[0] = rows.Hop(
        packets_ttl=1, packets_sent=3, packets_lost=0, nodes=[node("192.0.2.1", "\x1b[2J\x9b")]
    )
    lines = as_matrix(rows.TargetRow(target="\x1b[2J", colos=[found]), TextOutput())
    assert not set("\x1b\x9b") & set("".join(lines))


@pytest.mark.parametrize("draw", [as_tree, as_matrix])
def test_short_times_have_digits(draw):
    """In one building, all round-trip times are below 0.05 ms."""
    near = rows.TargetRow(target="web.example", colos=[row("den01", 4, rtt_ms=0.038)])
    text = "\n".join(draw(near, TextOutput()))
    assert "0.038" in text
    assert "0.0 " not in text + " "
