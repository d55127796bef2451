"""What each kind of answer says about the path, by the tables of RFC 792, 1812 and 4443."""

import pytest
from colotrace_agent.engine.verdict import judge
from colotrace_agent.model import AnswerKind, Flow, Heard
from colotrace_proto.messages import NodeKind, PacketType
from unit.agent.made import marks

ENDS = {
    4: (bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9]), bytes([198, 18, 1, 1])),
    6: (b"\x20\x01" + bytes(13) + b"\1", b"\x20\x01" + bytes(13) + b"\x09", b"\x20" + bytes(15)),
}
TRANSIT, REACHED, BARRIER = NodeKind.TRANSIT, NodeKind.TARGET, NodeKind.BARRIER


def verdict(
    kind: AnswerKind,
    code: int = 0,
    *,
    family: int = 4,
    packet_type: PacketType = PacketType.UDP,
    from_target: bool = False,
    mtu: int = 0,
) -> tuple[NodeKind, tuple[str, ...]]:
    source, target, router = ENDS[family]
    flow = Flow(packet_type, source, target, 1, 2, 3, marks(probes=1))
    responder = target if from_target else router
    heard = Heard(kind, responder, flow.key, 3, source=source, code=code, info=mtu)
    meaning = judge(heard, flow)
    return meaning.kind, meaning.labels


@pytest.mark.parametrize("kind", [AnswerKind.ECHO_REPLY, AnswerKind.TCP, AnswerKind.DATAGRAM])
def test_echo_reply_segment_or_datagram_is_the_targets(kind: AnswerKind) -> None:
    """From any address."""
    assert verdict(kind, from_target=True) == (REACHED, ())


@pytest.mark.parametrize("from_target", [True, False])
def test_time_exceeded_is_a_router_on_the_way(from_target: bool) -> None:
    """Also from the target's own address: from a translator in front of it."""
    assert verdict(AnswerKind.TIME_EXCEEDED, from_target=from_target) == (TRANSIT, ())


@pytest.mark.parametrize(
    ("family", "code", "label"),
    [
        *[(4, 0, "!N"), (4, 1, "!H"), (4, 2, "!P"), (4, 5, "!S"), (4, 6, "!N"), (4, 7, "!H")],
        *[(4, 8, "!N"), (4, 9, "!X"), (4, 10, "!X"), (4, 11, "!N"), (4, 12, "!H"), (4, 13, "!X")],
        *[(4, 14, "!V"), (4, 15, "!C"), (4, 16, "!<16>"), (4, 255, "!<255>")],
        *[(6, 0, "!N"), (6, 1, "!X"), (6, 2, "!H"), (6, 3, "!H"), (6, 5, "!X"), (6, 6, "!X")],
        *[(6, 7, "!<7>"), (6, 255, "!<255>")],
    ],
)
def test_refusal_of_a_router_is_labelled_as_traceroute_does(
    family: int, code: int, label: str
) -> None:
    """The path ends there, and the target is not reached."""
    assert verdict(AnswerKind.UNREACHABLE, code, family=family) == (BARRIER, (label,))


@pytest.mark.parametrize(("family", "code"), [(4, 3), (6, 4)])
@pytest.mark.parametrize("packet_type", [PacketType.UDP, PacketType.TCP])
def test_port_unreachable_from_the_target_reaches_it(
    family: int, code: int, packet_type: PacketType
) -> None:
    """From another address it is a refusal, which the whole trace decides (`test_refusals`)."""
    probe = {"family": family, "packet_type": packet_type}
    assert verdict(AnswerKind.UNREACHABLE, code, **probe, from_target=True) == (REACHED, ())
    assert verdict(AnswerKind.UNREACHABLE, code, **probe) == (BARRIER, (f"!<{code}>",))


@pytest.mark.parametrize("packet_type", [PacketType.ICMP, PacketType.GRE])
@pytest.mark.parametrize(("family", "code"), [(4, 3), (6, 4)])
def test_port_unreachable_about_a_type_without_ports(
    family: int, code: int, packet_type: PacketType
) -> None:
    """Only the target itself reaches the target; a firewall that sends it does not."""
    probe = {"family": family, "packet_type": packet_type}
    assert verdict(AnswerKind.UNREACHABLE, code, **probe) == (BARRIER, (f"!<{code}>",))
    assert verdict(AnswerKind.UNREACHABLE, code, **probe, from_target=True) == (REACHED, ())


@pytest.mark.parametrize(("family", "code"), [(4, 9), (4, 10), (4, 13), (6, 1), (6, 5), (6, 6)])
def test_prohibition_of_the_target_reaches_it(family: int, code: int) -> None:
    """Its own firewall answered, with the label !X."""
    found = verdict(AnswerKind.UNREACHABLE, code, family=family, from_target=True)
    assert found == (REACHED, ("!X",))


@pytest.mark.parametrize(("family", "code", "label"), [(4, 1, "!H"), (6, 3, "!H"), (4, 0, "!N")])
def test_other_refusal_of_the_target_does_not_reach_it(family: int, code: int, label: str) -> None:
    """A box with the target's address could not forward the probe to it."""
    found = verdict(AnswerKind.UNREACHABLE, code, family=family, from_target=True)
    assert found == (BARRIER, (label,))


def test_protocol_unreachable_from_the_target_reaches_it() -> None:
    """Only the destination looks at the protocol; a router that sends it is a filter."""
    assert verdict(AnswerKind.UNREACHABLE, 2, from_target=True) == (REACHED, ())
    assert verdict(AnswerKind.UNREACHABLE, 2) == (BARRIER, ("!P",))
    next_header = 6
    assert verdict(AnswerKind.PARAMETER, 1, family=6, mtu=next_header, from_target=True) == (
        REACHED,
        (),
    )
    assert verdict(AnswerKind.PARAMETER, 1, family=6, mtu=next_header) == (BARRIER, ("!P",))
    assert verdict(AnswerKind.PARAMETER, 1, family=6, mtu=0, from_target=True) == (
        BARRIER,
        ("!P",),
    )


def test_too_big_is_labelled_with_the_mtu() -> None:
    """In both families."""
    assert verdict(AnswerKind.UNREACHABLE, 4, mtu=1_400) == (BARRIER, ("!F-1400",))
    assert verdict(AnswerKind.TOO_BIG, family=6, mtu=1_280) == (BARRIER, ("!F-1280",))
