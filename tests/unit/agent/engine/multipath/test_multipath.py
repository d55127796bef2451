"""Which flows are asked for and which links are drawn.

A random network answers the questions of `Multipath` directly, and knows its own edges.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from itertools import pairwise
from math import comb

import pytest
from colotrace_agent.engine.multipath.multipath import (
    AT_ONCE,
    FIRST,
    MAX_FLOWS,
    PACKETS,
    Multipath,
    Sight,
    flows_needed,
)
from colotrace_proto.messages import MAX_JOB_PROBES, Edge
from colotrace_proto.notices import Notice, NoticeCode
from hypothesis import given, settings
from hypothesis import strategies as st

TARGET = "target"
Ends = tuple[int, bytes, bytes]


def test_flows_needed_are_those_published() -> None:
    """To rule out one more successor with 95 %, for k = 1, 2, 3 …"""
    published = [6, 11, 16, 21, 27, 33, 38, 44, 51, 57, 63, 70, 76, 83, 90, 96]
    assert [flows_needed(k) for k in range(1, 17)] == published


@pytest.mark.parametrize("k", [1, 2, 5, 16, 40])
def test_flows_needed_are_the_fewest_that_miss_at_most_5_percent(k: int) -> None:
    """Counted exactly, over all ways to draw n times among k + 1."""

    def missing(flows: int) -> Fraction:
        surjections = sum((-1) ** i * comb(k + 1, i) * (k + 1 - i) ** flows for i in range(k + 2))
        return 1 - Fraction(surjections, (k + 1) ** flows)

    n = flows_needed(k)
    assert missing(n) <= Fraction(5, 100) < missing(n - 1)


@dataclass(frozen=True)
class Net:
    """A network by TTL: `ways[ttl][node]` are the places that a node at that TTL sends on to, as
    (node) one TTL further, or TARGET. The source is node 0 at TTL 0."""

    ways: tuple[tuple[tuple[int | str, ...], ...], ...]
    by_packet: frozenset[tuple[int, int]] = frozenset()
    silent: frozenset[tuple[int, int]] = frozenset()
    routes: dict[int, list[int | str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def walk(self, ttl: int, choose: random.Random, flow: int) -> tuple[int, int | str]:
        """Where a packet with that TTL ends: (TTL that it came to, node)."""
        # Only a balancer by packet makes two packets of a flow differ.
        route = None if self.by_packet else self.routes.get(flow)
        if route is None:
            route = self.routes[flow] = self.route(choose, flow)
        end = min(ttl, len(route) - 1)
        return end, route[end]

    def route(self, choose: random.Random, flow: int) -> list[int | str]:
        """The places of a packet by TTL, from the source to the target."""
        at: int | str = 0
        places: list[int | str] = [at]
        while at != TARGET:
            assert isinstance(at, int)
            step = len(places) - 1
            ways = self.ways[step][at]
            if (step, at) in self.by_packet:
                at = choose.choice(ways)
            else:
                digest = blake2b(f"{step} {at} {flow}".encode(), digest_size=8).digest()
                at = ways[int.from_bytes(digest) % len(ways)]
            places.append(at)
        return places

    def address(self, ttl: int, node: int | str) -> bytes:
        if node == TARGET:
            return bytes([203, 0, 113, 9])
        assert isinstance(node, int)
        return bytes([198, 18, ttl, node])

    def edges(self) -> set[Ends]:
        """All true links."""
        return {
            (ttl, self.address(ttl, node), self.address(ttl + 1, to))
            for ttl, nodes in enumerate(self.ways)
            if ttl
            for node, ways in enumerate(nodes)
            for to in ways
        }


MAX_TTL = 12


@dataclass
class Prober:
    """Traces flows through a network; `lost` of all answers are missing. From probe `change` on,
    counted over all flows, packets go through `later`."""

    net: Net
    seed: int
    lost: float = 0.0
    later: Net | None = None
    change: int = 0
    probes: int = 0
    flows: int = 0
    waves: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def run(self, plan: Multipath) -> None:
        while wanted := plan.wanted():
            self.waves.append(wanted)
            for _ in range(wanted):
                plan.saw(self.trace())

    def trace(self) -> Sight:
        flow = self.flows = self.flows + 1
        met: dict[int, list[bytes]] = {}
        end = MAX_TTL
        for _ in range(PACKETS):
            for ttl in range(1, MAX_TTL + 1):
                if ttl > end:
                    break
                self.probes += 1
                net = self.later if self.later and self.probes > self.change else self.net
                # Each flow is hashed anew in each run.
                came_to, node = net.walk(ttl, self.random, self.seed * 1_000 + flow)
                if (came_to, node) in net.silent or self.random.random() < self.lost:
                    continue
                met.setdefault(ttl, []).append(net.address(came_to, node))
                if node == TARGET:
                    end = min(end, ttl)
        answers = {ttl: tuple(who) for ttl, who in met.items() if ttl <= end}
        return Sight(flow, end, answers, sent=PACKETS * MAX_TTL)


def plan(max_probes: int = MAX_JOB_PROBES) -> Multipath:
    return Multipath(max_ttl=MAX_TTL, max_probes=max_probes)


def drawn(links: Sequence[Edge]) -> set[Ends]:
    return {(link.ttl, link.near, link.far) for link in links}


@st.composite
def nets(draw: st.DrawFn, *, by_packet: bool = True) -> Net:
    """Layers of up to four routers, each sending on to any of the next or to the target."""
    widths = [1, *draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))]
    ways: list[tuple[tuple[int | str, ...], ...]] = []
    for here, there in pairwise(widths):
        layer = []
        for _ in range(here):
            to = draw(st.sets(st.integers(0, there - 1), min_size=1))
            early = ways and draw(st.integers(0, 9)) == 0
            layer.append((*sorted(to), *([TARGET] if early else [])))
        ways.append(tuple(layer))
    ways.append(((TARGET,),) * widths[-1])
    spots = [(ttl, node) for ttl, width in enumerate(widths) for node in range(width)]
    some = st.sets(st.sampled_from(spots), max_size=2).map(frozenset)
    silent = draw(some) - {(0, 0)}
    return Net(tuple(ways), draw(some) if by_packet else frozenset(), silent)


@settings(deadline=None)
@given(nets(), st.integers(0, 2**32), st.sampled_from([0.0, 0.0, 0.1, 0.4]))
def test_no_false_link_is_drawn(net: Net, seed: int, lost: float) -> None:
    """With any balancing by flow or by packet, silent routers and loss."""
    found = plan()
    Prober(net, seed, lost).run(found)
    assert drawn(found.links()) <= net.edges()


@settings(deadline=None)
@given(nets(by_packet=False), nets(by_packet=False), st.integers(0, 2**32), st.integers(0, 400))
def test_no_link_joins_two_routes(net: Net, later: Net, seed: int, change: int) -> None:
    """At whatever probe the route changes."""
    found = plan()
    Prober(net, seed, later=later, change=change).run(found)
    assert drawn(found.links()) <= net.edges() | later.edges()


@settings(max_examples=40, deadline=None)
@given(nets(by_packet=False), st.integers(0, 2**32))
def test_every_address_found_is_linked(net: Net, seed: int) -> None:
    """Without loss and within the budget, every address has a link from the hop before."""
    net = Net(net.ways)
    found = plan()
    Prober(net, seed).run(found)
    links = drawn(found.links())
    linked = {(ttl + 1, far) for ttl, _, far in links}
    nodes = {(ttl, near) for ttl, near, _ in links} | linked
    if found.notices():
        assert any(each.code is NoticeCode.PROBE_BUDGET for each in found.notices())
    else:
        assert {node for node in nodes if node[0] > 1} <= linked


def fan(width: int) -> Net:
    """One router, `width` routers behind it, one router, the target."""
    return Net((((0,),), (tuple(range(width)),), ((0,),) * width, ((TARGET,),)))


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, 8, 16])
def test_all_of_a_diamond_is_found_with_95_percent(width: int) -> None:
    """Over many runs, each with other flows. Every true link between the nodes found is drawn."""
    runs = complete = 200 if width < 6 else 60
    for seed in range(runs):
        net, found = fan(width), plan()
        Prober(net, seed).run(found)
        links, edges = drawn(found.links()), net.edges()
        assert links <= edges
        complete -= links != edges
    assert complete >= 0.95 * runs


def test_every_node_of_nested_balancers_is_found_with_95_percent() -> None:
    """The rule holds for each router: a balancer stands behind each branch of another."""
    net = Net((((0,),), ((0, 1, 2),), ((0, 1), (2, 3, 4), (5,)), ((0,),) * 6, ((TARGET,),)))
    missed = total = 0
    for seed in range(150):
        found = plan()
        Prober(net, seed).run(found)
        links = drawn(found.links())
        edges = net.edges()
        assert links <= edges
        for ttl, near in {(ttl, near) for ttl, near, _ in links}:
            true = {far for t, n, far in edges if (t, n) == (ttl, near)}
            missed += true != {far for t, n, far in links if (t, n) == (ttl, near)}
            total += 1
    assert missed <= 0.05 * total


@pytest.mark.parametrize("width", [2, 3, 5])
def test_balancing_by_packet_is_a_notice_and_no_link(width: int) -> None:
    """The notice has the TTL. Links before the balancer and behind the join are drawn."""
    net = Net(fan(width).ways, by_packet=frozenset({(1, 0)}))
    found = plan()
    Prober(net, 7).run(found)
    assert {link.ttl for link in found.links()} == {3}
    assert found.notices() == (Notice(NoticeCode.BALANCED_BY_PACKET, ttls=(2,)),)


def test_silent_router_of_one_branch_is_a_notice() -> None:
    """Routers behind it answer, but are not linked to it."""
    ways = (((0,),), ((0, 1),), ((0,), (1,)), ((0,), (0,)), ((TARGET,),))
    net = Net(ways, silent=frozenset({(2, 0)}))
    found = plan()
    Prober(net, 1).run(found)
    branch = {(3, net.address(3, 0), net.address(4, 0))}
    silent = {edge for edge in net.edges() if net.address(2, 0) in edge[1:]}
    assert drawn(found.links()) == net.edges() - branch - silent
    assert found.notices() == (Notice(NoticeCode.PATHS_SILENT, ttls=(2,)),)


def test_single_path_takes_the_first_flows_only() -> None:
    """They are fewer than any budget."""
    prober, found = Prober(fan(1), 1), plan()
    prober.run(found)
    assert prober.waves == [FIRST]


def test_budget_is_kept_and_a_notice() -> None:
    """Neither more probes nor more flows than allowed, nor more at once."""
    for most in (0, 2 * MAX_TTL * PACKETS, 50 * MAX_TTL * PACKETS):
        prober, found = Prober(fan(64), 1), plan(most)
        prober.run(found)
        assert prober.flows == most // (MAX_TTL * PACKETS)
        assert max(prober.waves, default=0) <= AT_ONCE
        assert any(each.code is NoticeCode.PROBE_BUDGET for each in found.notices())
    prober, found = Prober(fan(64), 1), plan(10**6)
    prober.run(found)
    assert prober.flows == MAX_FLOWS


def test_flows_for_missing_answers_are_bounded() -> None:
    """A hop answers one flow in ten: the number of flows stays low, and a notice says so."""
    net = fan(4)

    class Limited(Prober):
        def trace(self) -> Sight:
            sight = super().trace()
            kept = {t: who for t, who in sight.answers.items() if t != 2 or self.flows % 10 == 1}
            return Sight(sight.flow, sight.end_ttl, kept, sight.sent)

    prober, found = Limited(net, 3), plan()
    prober.run(found)
    assert prober.flows < 80
    assert drawn(found.links()) <= net.edges()
    assert any(each.ttls == (2,) for each in found.notices())


def test_repeated_flow_counts_once() -> None:
    """The agent repeats flows when it has no fresh one left."""
    found, sight = plan(), Prober(fan(1), 1).trace()
    for _ in range(10):
        found.saw(sight)
    assert found.wanted() == 6 - 1
    assert found.links() == ()
