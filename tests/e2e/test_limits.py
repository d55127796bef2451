"""Routers and targets with Linux's default limits: a burst of six ICMP errors to one host, then one
a second. Each test has its own lab, so that no limit is used up. The kernel counts for each host
and family, so every colo may trace once over IPv4 and once over IPv6."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet import AgentSpec, Fleet, alone
from lab import CLOSED_PORT, FAMILIES, OPEN_PORT, Lab, access, listener
from lab.slow import slow
from needs import need

pytestmark = pytest.mark.lab

METHODS = {
    "icmp": ("--packet-type", "icmp"),
    "udp": ("--packet-type", "udp"),
    "tcp-open": ("--packet-type", "tcp", "--port", str(OPEN_PORT)),
    "tcp-closed": ("--packet-type", "tcp", "--port", str(CLOSED_PORT)),
    "gre": ("--packet-type", "gre"),
}
# Ten targets from den01 such that none must send more than six errors: the five ends of the map,
# and the last router before each, which two traces or one more colo probe.
TEN = ("web", "far", "den02", "sin01", "fra01", "edge", "f9", "den2", "sin1", "fra1")


DELAY_MS = 10.0
"""Of the long line, each way."""


@pytest.fixture
def own_lab(lab: Lab) -> Iterator[Lab]:
    """A new lab with default limits (`lab` skips if no lab can be built)."""
    with Lab(default_limits=True) as built:
        yield built


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_one_target_has_its_true_path(own_lab: Lab, method: tuple[str, ...]) -> None:
    """Through the diamond and the mute router: every answering router is shown, and the target is
    at its true TTL."""
    targets = [own_lab.address("web", family=family) for family in FAMILIES]

    def faults(colo: str) -> list[str]:
        told = alone.trace(own_lab, colo, targets, *method)
        found = []
        for target in targets:
            truth = own_lab.path(colo, target)
            hops = told.hops(target)
            if len(hops) != len(truth):
                found.append(f"{colo} to {target}: {len(hops)} hops, not {len(truth)}: {hops}")
                continue
            for seen, hop in zip(hops, truth, strict=True):
                if not seen <= hop.answers or bool(seen) == hop.silent:
                    found.append(f"{colo} to {target}, TTL {hop.ttl}: {seen}, not {hop}")
        return found

    colos = ["den02", "sin01"]
    with ThreadPoolExecutor(len(colos)) as pool:
        found = list(pool.map(faults, colos))
    assert [words for each in found for words in each] == []


@pytest.mark.parametrize("distant", [False, True], ids=["near", "20ms"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_ten_targets_at_once_have_their_true_lengths(
    own_lab: Lab, method: tuple[str, ...], distant: bool
) -> None:
    """The routers near the colo cannot answer thirty probes. A hop may be silent, but no path is
    too long, and no address is wrong."""
    targets = {own_lab.address(name, family=family): name for name in TEN for family in FAMILIES}
    with ExitStack() as stack:
        if distant:
            need(access.tun_reason())
            stack.enter_context(slow(own_lab, "den1", "c1", delay_ms=DELAY_MS))
        told = alone.trace(own_lab, "den01", list(targets), *method)
    faults = []
    for target, name in targets.items():
        truth, hops = own_lab.path("den01", target), told.hops(target)
        if len(hops) != len(truth):
            faults.append(f"{name}, {target}: {len(hops)} hops, not {len(truth)}")
            continue
        for seen, hop in zip(hops, truth, strict=True):
            if not seen <= hop.answers:
                faults.append(f"{name}, TTL {hop.ttl}: {seen}, not {hop}")
        if not told.rows[target]["target_summary"]["packet_count"]:
            faults.append(f"{name}, {target}: not reached")
    assert faults == []


def test_missing_answers_of_a_limited_router_give_a_notice(own_lab: Lab) -> None:
    """Ten traces through one router, with a notice for each trace that misses its answers."""
    targets = [own_lab.address(name) for name in TEN]
    told = alone.trace(own_lab, "den01", targets)
    short = [
        target
        for target in targets
        if any(hop["packets_lost"] for hop in told.rows[target]["hops"])
    ]
    assert short
    for target in short:
        assert any(
            line.startswith(f"{target}: ") and "limit" in line for line in told.notes.splitlines()
        ), target


@pytest.fixture
def slow_lab(own_lab: Lab) -> Iterator[Lab]:
    """The same with a delay on the path from sin01 to `far`, whose TCP port is open."""
    need(access.tun_reason())
    argv = [sys.executable, "-I", "-S", str(Path(listener.__file__)), str(OPEN_PORT)]
    server = own_lab.spawn("far", argv, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert select.select([server.stdout], [], [], 5)[0]
    assert server.stdout.readline() == b"ready\n"
    with slow(own_lab, "sin4", "c2", delay_ms=DELAY_MS):
        yield own_lab


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_distant_target_answers_each_of_its_probes(
    slow_lab: Lab, method: tuple[str, ...]
) -> None:
    """Fifteen TTLs with three probes and an RTT of 20 ms: the target is at its true TTL with three
    answers."""
    targets = [slow_lab.address("far", family=family) for family in FAMILIES]
    told = alone.trace(slow_lab, "sin01", targets, *method)
    for target in targets:
        assert told.hops(target) == [hop.answers for hop in slow_lab.path("sin01", target)]
        assert len(told.hops(target)) == 15
        summary = told.rows[target]["target_summary"]
        assert summary["packet_count"] == 3, summary
        before, behind = told.rows[target]["hops"][3], told.rows[target]["hops"][4]
        assert before["nodes"][0]["min_rtt_ms"] < 2 * DELAY_MS <= behind["nodes"][0]["min_rtt_ms"]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_probes_beyond_a_distant_target_do_not_cost_it_its_answers(
    slow_lab: Lab, method: tuple[str, ...]
) -> None:
    """Ten hops, fifteen TTLs with three probes: all probes are answered except for UDP and GRE,
    where only the first six are. These suffice for the true TTL."""
    targets = [slow_lab.address("web", family=family) for family in FAMILIES]
    told = alone.trace(slow_lab, "sin01", targets, *method)
    for target in targets:
        assert told.hops(target) == [hop.answers for hop in slow_lab.path("sin01", target)]
        count = told.rows[target]["target_summary"]["packet_count"]
        limited = method in (METHODS["udp"], METHODS["gre"])
        assert count == 3 or (limited and count), count


def test_router_known_to_limit_gets_fewer_and_spaced_probes(own_lab: Lab) -> None:
    """With a running agent, each trace of the second request sends one probe to the near router."""
    spec = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
    targets = [own_lab.address(name) for name in TEN if name != "den02"]
    with Fleet(own_lab, agents=[spec]) as fleet:
        fleet.wait_attached()

        def near_hops(packets: int) -> tuple[list[int], list[str]]:
            options = {"packets_per_ttl": packets}
            asked = {"targets": targets, "colos": ["den01"], "options": options}
            answer = fleet.trace(asked)
            hops = [target["colos"][0]["hops"][0] for target in answer["result"]]
            said = [message["message"] for message in answer["messages"]]
            return [hop["packets_sent"] for hop in hops], said

        sent, said = near_hops(3)
        assert sent == [3] * len(targets)
        assert any("hop 1" in words and "probably limits" in words for words in said)
        sent, said = near_hops(4)
        assert sum(sent) < 2 * len(targets)
        assert any("hop 1" in words and "asked less often" in words for words in said)
