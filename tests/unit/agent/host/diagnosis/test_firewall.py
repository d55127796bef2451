"""Judging a ruleset as nft's JSON tells it."""

import json
from pathlib import Path
from typing import Any

import pytest
from colotrace_agent.host.diagnosis import firewall, ruleset
from colotrace_agent.host.diagnosis.ruleset import Ruleset
from colotrace_proto.findings import Finding, Status

STATE = {"ct": {"key": "state"}}
OUTPUT = {"family": "inet", "table": "t", "name": "out", "hook": "output", "type": "filter"}
PORTS = {"range": [20_000, 32_767]}


def rule(*exprs: dict[str, Any], chain: str = "out") -> dict[str, Any]:
    return {"family": "inet", "table": "t", "chain": chain, "expr": list(exprs)}


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def sport(protocol: str, right: Any = PORTS, op: str = "==") -> dict[str, Any]:
    return match({"payload": {"protocol": protocol, "field": "sport"}}, right, op)


NOTRACK = {"notrack": None}
TRACKS = rule(match(STATE, "established", "in"), {"accept": None}, chain="in")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Connection tracking loaded, its table all but empty."""
    _table(tmp_path, count=12)
    return tmp_path


def _table(proc: Path, *, count: int) -> None:
    directory = proc / "sys/net/netfilter"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "nf_conntrack_count").write_text(f"{count}\n")
    (directory / "nf_conntrack_max").write_text("1000\n")


def look(proc: Path, *rules: dict[str, Any], chains: tuple[Any, ...] = (OUTPUT,)) -> list[Finding]:
    return firewall.findings(Ruleset(list(rules), list(chains)), proc=proc)


def test_without_connection_tracking_all_is_well(tmp_path: Path) -> None:
    tracking, _ = look(tmp_path, TRACKS)
    assert (tracking.status, tracking.remedy) == (Status.OK, "")


def test_loaded_but_used_by_no_rule(proc: Path) -> None:
    tracking, _ = look(proc, rule({"accept": None}))
    assert tracking.status is Status.OK


@pytest.mark.parametrize(
    "using",
    [
        TRACKS,
        rule({"masquerade": None}),
        rule({"vmap": {"key": STATE, "data": {"set": [["established", {"accept": None}]]}}}),
    ],
)
def test_tracked_probes_are_told_with_the_rules_that_help(
    proc: Path, using: dict[str, Any]
) -> None:
    tracking, _ = look(proc, using)
    assert tracking.status is Status.WARN
    assert "UDP and TCP probes are tracked" in tracking.detail
    assert "udp sport 20000-32767 notrack" in tracking.remedy


def test_a_nat_chain_tracks_whatever_its_rules(proc: Path) -> None:
    tracking, _ = look(proc, chains=({"type": "nat", "hook": "postrouting"},))
    assert tracking.status is Status.WARN


@pytest.mark.parametrize(
    "exempt",
    [
        [rule(sport("udp"), NOTRACK), rule(sport("tcp"), NOTRACK)],
        [rule(sport("th"), NOTRACK)],
        [rule(NOTRACK)],
        [
            rule(
                match({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]}, "in"),
                sport("th", {"set": [{"range": [1, 9]}, {"range": [10_000, 40_000]}]}),
                NOTRACK,
            )
        ],
    ],
)
def test_exempted_probes_are_well(proc: Path, exempt: list[dict[str, Any]]) -> None:
    tracking, _ = look(proc, TRACKS, *exempt)
    assert tracking.status is Status.OK


@pytest.mark.parametrize(
    "exempt",
    [
        rule(sport("tcp"), NOTRACK),  # and UDP?
        rule(sport("th"), NOTRACK, chain="in"),  # on the way in
        rule(sport("th", {"range": [20_000, 30_000]}), NOTRACK),
        rule(sport("th", PORTS, "!="), NOTRACK),
        rule(sport("th", 20_000), NOTRACK),
        rule(match({"meta": {"key": "oifname"}}, "eth0"), NOTRACK),
    ],
)
def test_an_exemption_of_some_probes_is_none(proc: Path, exempt: dict[str, Any]) -> None:
    tracking, _ = look(proc, TRACKS, exempt)
    assert tracking.status is Status.WARN


def test_a_table_nearly_full_comes_first(proc: Path) -> None:
    _table(proc, count=900)
    tracking, _ = look(proc, rule(NOTRACK))
    assert tracking.status is Status.WARN
    assert "900 of 1000" in tracking.detail


@pytest.mark.parametrize(
    "dropping",
    [
        rule(match(STATE, "invalid"), {"drop": None}),
        rule(match(STATE, ["invalid", "new"], "in"), {"counter": None}, {"drop": None}),
        rule(match(STATE, {"set": ["invalid"]}), {"reject": {"type": "icmp"}}),
        rule({"vmap": {"key": STATE, "data": {"set": [["invalid", {"drop": None}]]}}}),
    ],
)
def test_a_rule_that_drops_the_invalid_is_named(proc: Path, dropping: dict[str, Any]) -> None:
    _, invalid = look(proc, dropping)
    assert invalid.status is Status.WARN
    assert "inet t out" in invalid.detail
    assert "accept ICMP" in invalid.remedy


@pytest.mark.parametrize(
    "harmless",
    [
        rule(match(STATE, "invalid"), {"accept": None}),
        rule(match(STATE, "invalid", "!="), {"drop": None}),
        rule(match(STATE, "new", "in"), {"drop": None}),
        rule({"vmap": {"key": STATE, "data": {"set": [["invalid", {"accept": None}]]}}}),
    ],
)
def test_other_rules_are_let_be(proc: Path, harmless: dict[str, Any]) -> None:
    _, invalid = look(proc, harmless)
    assert invalid.status is Status.OK


def test_what_could_not_be_read_is_said(proc: Path) -> None:
    found = firewall.findings(Ruleset(unread="nft is not installed"), proc=proc)
    assert [each.status for each in found] == [Status.WARN, Status.WARN]
    assert all("could not look" in each.detail for each in found)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nftables": 3}', "no JSON"])
def test_an_answer_that_is_none_is_said(text: str) -> None:
    assert ruleset.parse(text).unread


def test_nfts_answer_is_taken_apart() -> None:
    text = json.dumps({"nftables": [{"metainfo": {}}, {"chain": OUTPUT}, {"rule": TRACKS}]})
    assert ruleset.parse(text) == Ruleset([TRACKS], [OUTPUT])
