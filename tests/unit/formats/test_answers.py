"""What is known of probes and answers without the agent."""

import pytest
from colotrace_agent.packets.scapy_built import BUILT
from colotrace_formats.answers import Refusal, by_ttl, icmp_answer, probe_size, refusal
from colotrace_formats.shown import each
from colotrace_proto.measured import Options
from colotrace_proto.messages import Family, Node, NodeKind, PacketType
from msgspec.structs import replace

from .samples import MULTIPATH, measured, trace


@pytest.mark.parametrize(("kind", "family"), list(BUILT))
def test_probe_has_the_size_that_agents_send(kind: PacketType, family: Family) -> None:
    row = trace("T1", ipv6=family is Family.IPV6)
    (shown,) = each(measured({0: row}, options=Options(packet_type=kind)))
    assert probe_size(shown) == len(BUILT[kind, family])


@pytest.mark.parametrize(
    ("label", "ipv6", "found"),
    [
        ("!H", False, Refusal("H", 1)),
        ("!H", True, Refusal("H", 3)),
        ("!<10>", False, Refusal(None, 10)),
        ("!F-1400", False, Refusal("F", 4, 1400)),
        ("!F-1280", True, Refusal("F", None, 1280)),
        ("!?", False, Refusal("?", None)),
        ("NAT", False, None),
    ],
)
def test_label_tells_a_refusal(label: str, ipv6: bool, found: Refusal | None) -> None:
    assert refusal([label], ipv6=ipv6) == found


@pytest.mark.parametrize(
    ("kind", "labels", "packet_type", "ipv6", "message"),
    [
        (NodeKind.TRANSIT, (), PacketType.UDP, False, (11, 0)),
        (NodeKind.TRANSIT, (), PacketType.UDP, True, (3, 0)),
        (NodeKind.TARGET, (), PacketType.ICMP, False, (0, 0)),
        (NodeKind.TARGET, (), PacketType.ICMP, True, (129, 0)),
        (NodeKind.TARGET, (), PacketType.TCP, False, None),
        (NodeKind.TARGET, ("!X",), PacketType.ICMP, False, (3, 13)),
        (NodeKind.BARRIER, ("!H",), PacketType.ICMP, True, (1, 3)),
        (NodeKind.BARRIER, ("!F-1400",), PacketType.ICMP, True, (2, 0)),
        (NodeKind.BARRIER, ("!F-1400",), PacketType.ICMP, False, (3, 4)),
        (NodeKind.BARRIER, (), PacketType.ICMP, False, None),
    ],
)
def test_icmp_message_of_an_answer(kind, labels, packet_type, ipv6, message) -> None:
    node = Node(b"\xc0\0\2\1", kind, labels)
    assert icmp_answer(node, packet_type, ipv6=ipv6) == message


def test_answers_are_in_the_order_of_flows_and_probes() -> None:
    several = [("a1 a2",), ("a3 a4",)]
    (row,) = each(measured({0: trace(several=several)}, options=MULTIPATH))
    assert [answer.rtt_ms for answer in by_ttl(row)[0]] == [1, 2, 3, 4]


def test_late_answer_of_an_early_probe_comes_first() -> None:
    """Agents report answers in the order of their arrival."""
    row = trace("a1 a2 a3")
    replies = row.gathered.replies
    columns = ("ttl", "rtt_ns", "node", "ordinal", "flow")
    turned = replace(replies, **{name: getattr(replies, name)[::-1] for name in columns})
    (shown,) = each(measured({0: replace(row, gathered=replace(row.gathered, replies=turned))}))
    assert [answer.rtt_ms for answer in by_ttl(shown)[0]] == [1, 2, 3]
