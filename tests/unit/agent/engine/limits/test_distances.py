"""Where targets are expected: each type, port and flow has its own distance."""

import dataclasses

from colotrace_agent.engine.limits.distances import Distances
from colotrace_agent.model import TraceSpec
from colotrace_proto.messages import PacketType

SECOND = 1_000_000_000
NOW = 9_000 * SECOND
TARGET = bytes([203, 0, 113, 9])
SPEC = TraceSpec(TARGET)


def test_distance_belongs_to_one_type_port_and_flow() -> None:
    """A firewall may end TCP before ICMP, and balanced flows differ in length."""
    known = Distances()
    known.put(SPEC, TARGET, 5, NOW)
    assert known.of(SPEC, TARGET, NOW) == 5
    for other in ({"packet_type": PacketType.TCP}, {"port": 443}, {"flow": 1}):
        assert known.of(dataclasses.replace(SPEC, **other), TARGET, NOW) is None


def test_flows_in_rounds_share_the_greatest_distance() -> None:
    """A longer flow needs all probes of each TTL."""
    known, several = Distances(), dataclasses.replace(SPEC, rounds=True)
    for flow, ttl in ((0, 7), (1, 5)):
        known.put(dataclasses.replace(several, flow=flow), TARGET, ttl, NOW)
    assert known.of(several, TARGET, NOW) == 7


def test_distances_expire_and_are_bounded() -> None:
    """After ten minutes; the oldest are evicted first."""
    known = Distances(most=2)
    for number in range(3):
        known.put(SPEC, bytes([203, 0, 113, number]), 4, NOW)
    assert known.of(SPEC, bytes([203, 0, 113, 0]), NOW) is None
    assert known.of(SPEC, bytes([203, 0, 113, 2]), NOW + 600 * SECOND) == 4
    assert known.of(SPEC, bytes([203, 0, 113, 2]), NOW + 601 * SECOND) is None
