"""`gre+icmp`: both traces in one row, through the API and over real routers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fleet import Fleet
from lab import FAMILIES, Family, Lab

pytestmark = pytest.mark.xdist_group("fleet")


@pytest.mark.parametrize("family", FAMILIES)
def test_both_traces_are_merged_by_ttl(
    fleet: Fleet, lab: Lab, check_answer: Callable[[Any], None], *, family: Family
) -> None:
    """At each TTL the sent probes are summed, and each type has its own nodes with all answers."""
    body = {
        "targets": [lab.address("web", family=family)],
        "options": {"packet_type": "gre+icmp", "packets_per_ttl": 2},
    }
    answer = fleet.trace(body)
    check_answer(answer)
    assert answer["messages"] == []
    rows = answer["result"][0]["colos"]
    assert len(rows) == len(lab.colos)
    for row in rows:
        assert (row["error"], "links" in row) == ("", False)
        truth = lab.path(row["colo"]["name"], "web", family=family)
        assert [hop["packets_ttl"] for hop in row["hops"]] == [hop.ttl for hop in truth]
        for hop, true in zip(row["hops"], truth, strict=True):
            assert (hop["packets_sent"], hop["packets_lost"]) == (4, 4 if true.silent else 0)
            if true.silent:
                continue
            assert sorted(node["labels"] for node in hop["nodes"]) == [["GRE"], ["ICMP"]]
            assert {node["packet_count"] for node in hop["nodes"]} == {2}
            assert {node["ip"] for node in hop["nodes"]} <= true.addresses
        assert row["target_summary"]["packet_count"] == 4


def test_two_types_and_many_flows(fleet: Fleet, lab: Lab) -> None:
    """Each type finds its own paths; a link of both appears once."""
    body = {
        "targets": [lab.address("web", family=4)],
        "colos": ["fra01"],
        "options": {"packet_type": "gre+icmp", "multipath": True},
    }
    (row,) = fleet.trace(body)["result"][0]["colos"]
    truth = lab.path("fra01", "web", family=4)
    assert [hop["packets_ttl"] for hop in row["hops"]] == [hop.ttl for hop in truth]
    known = {(hop.ttl, address) for hop in truth for address in hop.answers}
    assert row["links"]
    for link in row["links"]:
        assert {(link["ttl"], link["from"]), (link["ttl"] + 1, link["to"])} <= known
        assert link["flows"] >= 14
