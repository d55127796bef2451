"""Whose a "port unreachable" from another address than the target's is."""

from ipaddress import ip_address

import pytest
from colotrace_agent.engine.refusals import Refuser, settle
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import AnswerKind, Reply, TraceSpec
from colotrace_proto.messages import NodeKind, PacketType
from unit.agent.made import answer, flow

START, MS = 7_000_000_000, 1_000_000
TRANSIT, REACHED, BARRIER = NodeKind.TRANSIT, NodeKind.TARGET, NodeKind.BARRIER
LABEL = "!<3>"

ADDRESSES = {
    4: {
        "source": "192.0.2.1",
        "target": "10.62.0.9",
        "router": "10.61.0.2",
        "near router": "10.61.0.3",
        "near target": "10.62.0.1",
        "near source": "192.0.2.254",
        "elsewhere": "172.20.0.1",
    },
    6: {
        "source": "2001:db8:1::1",
        "target": "fd00:62::9",
        "router": "fd00:61::2",
        "near router": "fd00:61::3",
        "near target": "fd00:62::1",
        "near source": "2001:db8:1::fe",
        "elsewhere": "fd00:ffff::1",
    },
}


def refuser(
    name: str,
    *,
    family: int,
    ttl: int = 3,
    others: tuple[tuple[int, NodeKind, str], ...] = ((2, TRANSIT, "router"),),
    forwarders: tuple[str, ...] = (),
) -> Refuser | NodeKind:
    """Whom the refuser of that name is taken for: a Refuser where that is uncertain."""
    packed = {name: ip_address(text).packed for name, text in ADDRESSES[family].items()}
    settled = settle(
        [Reply(ttl, MS, packed[name], BARRIER, (LABEL,)) for ttl in (ttl, ttl + 1)],
        [Reply(at, MS, packed[who], kind) for at, kind, who in others],
        source=packed["source"],
        target=packed["target"],
        forwarders=[packed[who] for who in forwarders],
    )
    kinds = {(reply.kind, reply.labels) for reply in settled.replies}
    assert kinds in ({(REACHED, ())}, {(BARRIER, (LABEL,))})
    kind = settled.replies[0].kind
    for each in settled.uncertain:
        assert each == Refuser(ttl, packed[name], kind is REACHED)
        return each
    return kind


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("name", "others", "forwarders"),
    [
        # It said time exceeded: at a lower TTL, or to another flow.
        ("near target", ((2, TRANSIT, "near target"),), ()),
        ("elsewhere", (), ("elsewhere",)),
        # Another node answered further on: a router, the target, a router that refuses.
        ("elsewhere", ((5, TRANSIT, "router"),), ()),
        ("near target", ((5, REACHED, "target"),), ()),
        ("elsewhere", ((5, BARRIER, "router"),), ()),
    ],
)
def test_refusal_with_evidence_is_a_firewall(
    family: int,
    name: str,
    others: tuple[tuple[int, NodeKind, str], ...],
    forwarders: tuple[str, ...],
) -> None:
    """The result is certain."""
    assert refuser(name, family=family, others=others, forwarders=forwarders) is BARRIER


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("name", "ttl", "is_target"),
    [
        ("near router", 3, False),
        ("near source", 3, False),
        ("near target", 3, True),
        ("elsewhere", 3, True),
        ("elsewhere", 1, False),
        ("near target", 1, True),
    ],
)
def test_refusal_without_evidence_is_decided_by_its_address(
    family: int, name: str, ttl: int, is_target: bool
) -> None:
    """The result is marked as uncertain."""
    others = ((2, TRANSIT, "router"),) if ttl > 1 else ()
    found = refuser(name, family=family, ttl=ttl, others=others)
    assert isinstance(found, Refuser)
    assert found.is_target == is_target


def test_order_of_answers_does_not_matter() -> None:
    """The evidence may come before or after the refusals; nothing is reported before the end."""
    own = flow(PacketType.UDP)
    spec = TraceSpec(own.target, PacketType.UDP, max_ttl=4, packets_per_ttl=1)
    firewall = bytes([198, 51, 100, 1])
    kinds = {1: (AnswerKind.TIME_EXCEEDED, 0)} | dict.fromkeys(
        (2, 3, 4), (AnswerKind.UNREACHABLE, 3)
    )
    for order in ((1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)):
        trace = Trace(spec, own, now=START)
        while trace.unsent:
            trace.probe_sent(trace.take()[0], START)
        for ttl in order:
            kind, code = kinds[ttl]
            heard = answer(own, ttl - 1, kind, responder=firewall, code=code)
            assert trace.heard(heard, at=START + MS, read_at=START + MS) is not None
            assert not trace.reached
        assert len(trace.replies) == 1
        assert trace.expire(START + MS)
        assert not trace.reached
        assert trace.end_ttl == 2
        assert [reply.kind for reply in trace.replies] == [TRANSIT, BARRIER, BARRIER, BARRIER]
        assert not trace.caveats.uncertain


def test_other_flows_overturn_a_verdict() -> None:
    """An ended trace is judged again if its refuser forwarded a probe of another flow."""
    own = flow(PacketType.UDP)
    spec = TraceSpec(own.target, PacketType.UDP, max_ttl=2, packets_per_ttl=1)
    trace = Trace(spec, own, now=START)
    stranger = bytes([198, 51, 100, 1])
    while trace.unsent:
        trace.probe_sent(trace.take()[0], START)
    heard = answer(own, 1, AnswerKind.UNREACHABLE, responder=stranger, code=3)
    trace.heard(heard, at=START + MS, read_at=START + MS)
    trace.stop(START + 2 * MS)
    assert trace.reached
    assert [each.address for each in trace.caveats.uncertain] == [stranger]
    trace.settle({stranger})
    assert not trace.reached
    assert not trace.caveats.uncertain
    assert [reply.kind for reply in trace.replies] == [BARRIER]
