"""Debian's traceroute, mtr and scamper see the paths that the agent sees, hop for hop.

All colos, to a target behind the diamond or the mute router, to one at the end of a long chain,
and to one that never answers. What differs must be one of the reasons in `reasons`, each of which
proves itself.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest
from lab import CLOSED_PORT, COLOS, FAMILIES, OPEN_PORT, Family, Lab

from oracle import peers, reasons
from oracle.peers import MAX_TTL, SCAMPER_GAP, Method, Peer, mtr, scamper, traceroute

pytestmark = pytest.mark.lab

AGENT = [str(Path(sys.executable).parent / "colotrace-agent")]
TARGETS = ("web", "far", "dark")


def _tcp(port: int) -> Method:
    known = (
        traceroute("-T", "-p", str(port)), mtr("-T", "-P", str(port)), scamper(f"tcp -d {port}"),
    )  # fmt: skip
    return Method("tcp", port, known)


METHODS = {
    "icmp": Method("icmp", 0, (traceroute("-I"), mtr(), scamper("icmp-paris"))),
    # Not scamper's udp-paris: over IPv6 it knows its probes by their checksum, which a veth pair
    # leaves to the hardware that it does not have, so that routers quote it unfinished.
    "udp": Method("udp", 0, (traceroute("-U"), mtr("-u"), scamper("udp"))),
    "tcp-open": _tcp(OPEN_PORT),
    "tcp-closed": _tcp(CLOSED_PORT),
    # GRE's protocol number with traceroute's own payload: mtr and scamper have no such probes. It
    # sends one at a time, since it cannot tell them apart, so one has to do for each TTL.
    "gre": Method("gre", 0, (traceroute("-P", "47", "-q", "1"),)),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_peer_sees_the_agents_path(lab: Lab, method: Method) -> None:
    """All colos, all targets, both families, all peers that can; lengths count."""
    colos = [colo.name for colo in COLOS]
    addresses = {
        (target, family): lab.address(target, family=family)
        for target in TARGETS
        for family in FAMILIES
    }

    def agents_paths(colo: str) -> dict[str, peers.Path]:
        # All by one process: starting it takes longer than tracing.
        return peers.agent_paths(lab, AGENT, colo, method, list(addresses.values()))

    def disagreements(colo: str, peer: Peer, family: Family) -> list[str]:
        found = []
        # One after the other: two mtr of one host take each other's answers for their own.
        for target in TARGETS:
            address = addresses[target, family]
            theirs = peer.trace(lab, colo, address)
            truth = lab.path(colo, target, family=family)
            words = reasons.differences(
                peer.name, ours=paths[colo][address], theirs=theirs, truth=truth
            )
            found += [f"{colo} to {target}, IPv{family}: {each}" for each in words]
        return found

    lanes = list(product(colos, method.peers, FAMILIES))
    with ThreadPoolExecutor(len(lanes)) as pool:
        paths = dict(zip(colos, pool.map(agents_paths, colos), strict=True))
        compared = list(pool.map(lambda lane: disagreements(*lane), lanes))
    assert [words for each in compared for words in each] == []


A, B, C = (frozenset({f"198.18.1.{i}"}) for i in (1, 2, 3))
NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("peer", "ours", "theirs"),
    [
        ("traceroute", [A, B], [A, C]),  # another router
        ("traceroute", [A, NONE], [A, B]),  # silence where the other heard somebody
        ("traceroute", [A, B], [A]),
        ("traceroute", [A], [A, B]),
        ("scamper", [A, *[NONE] * (MAX_TTL - 1)], [A, *[NONE] * (SCAMPER_GAP - 1)]),
        ("scamper", [A, *[NONE] * (MAX_TTL - 2), B], [A, *[NONE] * SCAMPER_GAP]),
        ("scamper", [A, *[NONE] * 10], [A, *[NONE] * SCAMPER_GAP]),  # the agent itself cut short
        ("mtr", [A, *[NONE] * (MAX_TTL - 1)], [A]),
    ],
)
def test_what_nothing_explains_is_told(
    peer: str, ours: peers.Path, theirs: peers.Path, lab_free_truth: tuple[reasons.Hop, ...]
) -> None:
    """The reasons excuse nothing else."""
    assert reasons.differences(peer, ours=ours, theirs=theirs, truth=lab_free_truth)


@pytest.fixture
def lab_free_truth() -> tuple[reasons.Hop, ...]:
    """Two hops, neither of them balanced."""
    return tuple(reasons.Hop(ttl, addresses, silent=False) for ttl, addresses in ((1, A), (2, B)))


def test_a_balanced_hop_excuses_its_own_addresses_alone() -> None:
    """And only where the agent saw one of them, and the peer any."""
    truth = (reasons.Hop(1, A | B, silent=False),)
    assert reasons.is_another_side(A, B, truth=truth, ttl=1)
    assert reasons.is_another_side(A, A | B, truth=truth, ttl=1)
    assert not reasons.is_another_side(A, C, truth=truth, ttl=1)
    assert not reasons.is_another_side(A, NONE, truth=truth, ttl=1)
    assert not reasons.is_another_side(A | B, A, truth=truth, ttl=1)
    assert not reasons.is_another_side(A, B, truth=truth, ttl=2)
