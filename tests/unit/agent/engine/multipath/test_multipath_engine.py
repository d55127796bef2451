"""Multipath jobs of the whole engine, in virtual time, over the scenarios' world."""

from collections.abc import Iterator

import pytest
from colotrace_agent.engine.multipath.multipath import (
    PACKETS,
)
from colotrace_agent.model import TraceSpec
from colotrace_proto import rows, tally
from colotrace_proto.messages import PacketType, Replies
from colotrace_proto.notices import NoticeCode
from scenario.addresses import packed
from scenario.load import parse
from scenario.virtual import VirtualHost
from scenario.world import World

MANY = """
shows = "x"
hops = [
  {first},
  {{ rtt_ms = 5, width = {width}, balance = "{balance}" }},
  {{ rtt_ms = 9, width = {width}, follows = 2 }},
  {{ rtt_ms = 12 }},
]
[trace]
max_ttl = 10
[target]
rtt_ms = 20
[expect]
hops = ["1", "2", "3", "4", "target"]
"""


class Traced:
    """A multipath job over a simulated network."""

    def __init__(self, world: World, packet_type: PacketType, *, seed: int = 1) -> None:
        self.host = VirtualHost([world], seed=seed)
        target = packed(world.addresses.target)
        spec = TraceSpec(target, packet_type, max_ttl=world.case.trace.max_ttl)
        job = self.host.start(spec, multipath=True)
        self.host.run()
        outcome = job.frames[-1].outcome
        assert outcome is not None
        self.notices = outcome.notices
        replies = Replies()
        for frame in job.frames:
            replies = tally.merged((replies, frame.replies))
        gathered = tally.Gathered(
            target="target",
            colo=rows.Colo(city="", name="local"),
            target_address=target,
            sent=job.frames[-1].sent,
            replies=replies,
            own_ends=True,
            links=outcome.links,
        )
        (self.row,) = tally.colo_rows([gathered])

    def seen(self) -> list[set[str]]:
        return [{node.ip for node in hop.nodes} for hop in self.row.hops]

    def links(self) -> set[tuple[int, str, str]]:
        assert self.row.links
        return {(link.ttl, link.near, link.far) for link in self.row.links}


def case(*, width: int, balance: str = "flow", first: str = "{ rtt_ms = 1 }") -> str:
    return MANY.format(width=width, balance=balance, first=first)


def diamond(world: World) -> Iterator[tuple[int, str, str]]:
    """The true links of `MANY`. Its two middle hops are branches that stay separate."""
    routers = world.addresses.routers
    for upper, lower in zip(routers[2], routers[3], strict=True):
        yield 1, routers[1][0], upper
        yield 2, upper, lower
        yield 3, lower, routers[4][0]
    yield 4, routers[4][0], world.addresses.target


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("packet_type", [PacketType.ICMP, PacketType.UDP, PacketType.TCP])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_engine_finds_all_of_a_diamond(family: int, packet_type: PacketType, width: int) -> None:
    """Balancers hash other fields of each type. No packet is lost or counted twice."""
    world = World(parse(case(width=width), name="diamond"), family=family)  # type: ignore[arg-type]
    found = Traced(world, packet_type)
    routers = world.addresses.routers
    assert found.seen() == [*(set(routers[ttl]) for ttl in (1, 2, 3, 4)), {world.addresses.target}]
    assert found.links() == set(diamond(world))
    assert found.notices == ()
    flows = len({seen.flow for seen in world.seen})
    for hop in found.row.hops:
        assert (hop.packets_sent, hop.packets_lost) == (PACKETS * flows, 0)
    assert found.row.target_summary.packet_count == PACKETS * flows


@pytest.mark.parametrize("packet_type", [PacketType.ICMP, PacketType.UDP])
@pytest.mark.parametrize("width", [2, 3, 5])
def test_engine_draws_no_link_behind_balancing_by_packet(
    packet_type: PacketType, width: int
) -> None:
    """The routers take turns, so that each wave may meet them in step."""
    world = World(parse(case(width=width, balance="packet"), name="packet"), family=4)
    found = Traced(world, packet_type)
    assert found.seen()[1] == set(world.addresses.routers[2])
    assert {link[0] for link in found.links()} == {4}
    assert any(each.code is NoticeCode.BALANCED_BY_PACKET for each in found.notices)


def test_rate_limited_router_costs_few_flows() -> None:
    """Linux's own limit at the router before the diamond. The row is still true."""
    text = case(width=2, first="{ rtt_ms = 1, limit = {} }")
    world = World(parse(text, name="limited"), family=4)
    found = Traced(world, PacketType.UDP)
    assert found.links() <= set(diamond(world))
    assert len(found.row.hops) == 5
    assert len({seen.flow for seen in world.seen}) < 60


def test_rate_limited_target_makes_no_path_longer() -> None:
    """Some flows get no answer of it, some only from probes beyond it. The row ends at its TTL."""
    text = case(width=1).replace("[target]\nrtt_ms = 20", "[target]\nrtt_ms = 20\nlimit = {}")
    world = World(parse(text, name="limited target"), family=4)
    found = Traced(world, PacketType.UDP)
    assert found.seen()[-1] == {world.addresses.target}
    assert len(found.row.hops) == 5
