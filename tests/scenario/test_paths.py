"""The paths of a network: what its world does is what the truth says, and false links are found."""

import itertools

import pytest

from scenario.kinds import Protocol
from scenario.load import CaseError, cases, parse
from scenario.paths import TARGET, edges, expected_paths, paths
from scenario.scapy_judge import dissected, probe
from scenario.schema import Case
from scenario.world import World

MULTIPATH = [case for case in cases() if case.trace.multipath]
UNEVEN = """
shows = "x"
hops = [{ width = 2 }, { follows = 1, branch = 2 }, {}]
[trace]
multipath = true
[expect]
"""
HOPS = 'hops = ["1", { nodes = [{ from = "2" }, { from = "3" }] }, '
LAST = '{ nodes = [{ from = "3" }, { from = "target" }] }, "target"]'


def test_branch_may_be_longer() -> None:
    """Hops behind it are met at two TTLs."""
    case = parse(UNEVEN + HOPS + LAST, name="uneven")
    assert paths(case) == {((1, 0), (3, 0), TARGET), ((1, 1), (2, 0), (3, 0), TARGET)}
    assert edges(case, family=4) == {
        (1, "198.18.1.1", "198.18.3.1"),
        (1, "198.18.1.2", "198.18.2.1"),
        (2, "198.18.3.1", "203.0.113.9"),
        (2, "198.18.2.1", "198.18.3.1"),
        (3, "198.18.3.1", "203.0.113.9"),
    }


@pytest.mark.parametrize("case", MULTIPATH, ids=lambda case: case.name)
def test_flows_meet_the_true_path(case: Case) -> None:
    """Each flow takes one path from end to end if balancing is by flow."""
    by_packet = any(hop.balance == "packet" for hop in case.hops)
    truth = paths(case)
    longest = max(map(len, truth))
    met = set()
    for source_port in range(50_000, 50_040):
        # Its own world for each flow: limits are not the question.
        world = World(case, family=4)
        names = {
            (place, node): address
            for place, addresses in world.addresses.routers.items()
            for node, address in enumerate(addresses)
        } | {TARGET: world.addresses.target}
        seen = []
        for ttl in range(1, longest + 1):
            packet = probe(world, protocol=Protocol.UDP, ttl=ttl, source_port=source_port)
            answers = world.deliver(packet, 0)
            seen.append(dissected(answers[0]).src if answers else None)
        ways = {
            way
            for way in truth
            if all(
                one is None or one == names[place]
                for one, place in itertools.zip_longest(seen, way, fillvalue=TARGET)
            )
        }
        assert ways or by_packet
        met |= ways
    if len(truth) < 6 and not by_packet:
        assert met == truth


def test_false_link_is_a_fault() -> None:
    """In the case's file and in a row."""
    wrong = 'links = [{ ttl = 1, from = "1", to = "2" }]'
    with pytest.raises(CaseError, match="there is no link"):
        parse(UNEVEN + HOPS + LAST + "\n" + wrong, name="wrong")
    with pytest.raises(CaseError, match=r"expect\.hops is"):
        parse(UNEVEN + HOPS + '"target"]', name="wrong")
    case = parse(UNEVEN + HOPS + LAST, name="uneven")
    row = {"links": [{"ttl": 1, "from": "198.18.1.1", "to": "198.18.2.1", "flows": 1}]}
    (fault,) = expected_paths(case, family=4).false_links(row)
    assert fault.startswith("false link")


def test_links_need_a_multipath_trace() -> None:
    """Nothing would check them elsewhere."""
    with pytest.raises(CaseError, match="multipath"):
        parse('shows = "x"\n[expect]\nhops = ["target"]\nlinks = []', name="wrong")
