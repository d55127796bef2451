"""One line for each colo, and what differs from the others."""

import msgspec
import pytest
from colotrace_cli.views.overview import differences, overview
from colotrace_proto import rows
from colotrace_proto.layout import TextOutput


def hop(ttl, *nodes, lost=0):
    return rows.Hop(packets_ttl=ttl, packets_sent=3, packets_lost=lost, nodes=list(nodes))


def node(ip, asn="*", **more):
    return rows.Node(asn=asn, ip=ip, name=ip, packet_count=3, mean_rtt_ms=1.0, **more)


def row(name="den01", *, before="AS64500", address="192.0.2.9", reached=True, lost=0, error=""):
    """A path over two hops to the target."""
    last = node(address, "AS64509") if reached else rows.SILENCE
    summary = rows.TargetSummary(
        asn="AS64509",
        ip=address,
        name=address,
        packet_count=3 if reached else 0,
        mean_rtt_ms=1.5 if reached else msgspec.UNSET,
    )
    return rows.ColoRow(
        colo=rows.Colo(city="Denver, CO, US", name=name),
        error=error,
        hops=[
            hop(1, node("192.0.2.1")),
            hop(2, node("192.0.2.2", before)),
            hop(3, last, lost=lost),
        ],
        target_summary=summary,
        traceroute_time_ms=5,
    )


def test_where_an_unreached_path_ends_is_told():
    assert differences([row(), row(reached=False)])[1] == ["ends at hop 2, 192.0.2.2 (AS64500)"]


def test_refusal_is_told_by_its_label():
    refused = row(reached=False)
    refused.hops[1:] = [hop(2, node("192.0.2.2", labels=["MPLS:L=1", "!X"]))]
    assert differences([refused]) == [["ends at hop 2, 192.0.2.2 !X"]]


def test_other_as_before_the_target_is_told_of_the_minority():
    found = differences([row(), row(), row(before="AS64501")])
    assert found == [[], [], ["by AS64501, others by AS64500"]]


def test_other_address_of_the_target_is_told():
    found = differences([row(), row(), row(address="192.0.2.10")])
    assert found == [[], [], ["goes to 192.0.2.10"]]


def test_loss_is_told_where_most_have_none():
    assert differences([row(), row(), row(lost=1)]) == [[], [], ["loses packets"]]
    assert differences([row(lost=1), row(lost=1), row(lost=1)]) == [[], [], []]


def test_two_colos_have_no_majority():
    """Nobody can say which of them is the other."""
    assert differences([row(), row(before="AS64501", address="192.0.2.10")]) == [[], []]


@pytest.mark.parametrize("columns", [20, 40, 80, 200, None])
def test_no_line_is_wider_than_the_terminal(columns):
    found = rows.TargetRow(
        target="web.example",
        colos=[row("a-very-long-name-of-a-colo"), row(reached=False), row(before="AS4200000000")],
    )
    lines = overview(found, TextOutput(columns))
    assert all(len(line) <= columns for line in lines[1:]) if columns and columns > 26 else lines


def test_columns():
    found = rows.TargetRow(target="web.example", colos=[row(), row("sin01", reached=False)])
    heading, head, _, first, second = overview(found, TextOutput())
    assert heading == "web.example: reached from 1 of 2 colos"
    assert head.split() == ["colo", "city", "reached", "loss", "mean", "ms", "hops", "differs"]
    assert first.split() == ["den01", "Denver,", "CO,", "US", "yes", "0%", "1.500", "3"]
    assert second.split()[4:6] == ["no", "2"]


def test_failed_row_is_told_in_the_words_of_its_message():
    failed = row(reached=False, error="Could not gather traceroute data: Code 2")
    found = rows.TargetRow(target="web.example", colos=[failed])
    *_, line = overview(found, TextOutput(), notes=[["1102 the agent was lost"]])
    assert "error 2" in line
    assert line.endswith("1102 the agent was lost")
