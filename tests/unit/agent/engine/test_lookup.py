"""Whose trace an answer is that names no flow whole."""

import pytest
from colotrace_agent.engine import lookup
from colotrace_agent.engine.lookup import Lookup
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import AnswerKind, Heard, TraceSpec
from colotrace_agent.packets.formats import keys_of, number_of
from colotrace_proto.messages import PacketType
from unit.agent.made import ROUTER, SOURCE, TARGET, TYPES, flow

TAGGED = (PacketType.ICMP, PacketType.UDP, PacketType.GRE)
NOW = 1_000_000_000
ELSEWHERE = bytes([10, 0, 0, 9])
SENT = 9


def trace(packet_type: PacketType, *, context: bytes = b"", target: bytes = TARGET) -> Trace:
    """A trace whose first probes are taken to be sent."""
    made = flow(packet_type, context=context, target=target)
    if context:
        made = flow(
            packet_type, context=context, target=target, first_number=9_000, identifier=20_002
        )
    begun = Trace(TraceSpec(target, packet_type), made, now=NOW)
    for _ in range(SENT):
        begun.take()
    return begun


def known(*traces: Trace) -> Lookup:
    """All of them under way."""
    found = Lookup()
    for each in traces:
        found.add(each)
    return found


def quoting(of: Trace, ordinal: int = 3, *, tagged: bool = True, **key: int | bytes) -> Heard:
    """Time exceeded about a probe, in whose quote these fields of the key are others."""
    made = of.flow
    tag = made.marks.tag(ordinal) if tagged and made.packet_type in TAGGED else None
    return Heard(
        AnswerKind.TIME_EXCEEDED,
        ROUTER,
        made.key._replace(**key),  # type: ignore[arg-type]
        number_of(made, ordinal),
        ip_id=made.marks.ip_ids[ordinal],
        tag=tag,
        source=made.source,
    )


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("packet_type", TYPES)
def test_translation_of_one_side_is_tolerated(packet_type: PacketType, *, tagged: bool) -> None:
    """The target's address, or our own unless a short GRE quote has only the key."""
    one, other = trace(packet_type), trace(packet_type, context=b"other")
    traces = known(other, one)
    assert traces.find(quoting(one, tagged=tagged), NOW) is one
    theirs = quoting(one, tagged=tagged, target=ELSEWHERE)
    assert traces.find(theirs, NOW) is one
    ours = quoting(one, tagged=tagged, identifier=61_001)._replace(source=ELSEWHERE)
    shows_enough = tagged or packet_type is not PacketType.GRE
    assert traces.find(ours, NOW) is (one if shows_enough else None)


@pytest.mark.parametrize("packet_type", TYPES)
def test_translation_of_both_sides_needs_a_tag(packet_type: PacketType) -> None:
    """A tag has 64 bits; a number is too short for a search among all probes."""
    one = trace(packet_type)
    traces = known(trace(packet_type, context=b"other"), one)
    both = quoting(one, target=ELSEWHERE, identifier=61_001)._replace(source=ELSEWHERE)
    tagged = packet_type in TAGGED
    assert traces.find(both, NOW) is (one if tagged else None)
    assert traces.find(both._replace(tag=bytes(range(8))), NOW) is None


@pytest.mark.parametrize("packet_type", TYPES)
def test_fields_of_no_probe_find_no_trace(packet_type: PacketType) -> None:
    """A number, tag and IP ID that were never sent."""
    one = trace(packet_type)
    for key in ({"target": ELSEWHERE}, {"identifier": 61_001}):
        heard = quoting(one, SENT, **key)  # type: ignore[arg-type]
        assert known(one).find(heard, NOW) is None
        unseen = heard._replace(ip_id=0, tag=None, number=(heard.number or 0) + 1)
        assert known(one).find(unseen, NOW) is None


@pytest.mark.parametrize("packet_type", TYPES)
def test_answers_from_another_address_need_tag_or_number(packet_type: PacketType) -> None:
    """An echo reply or a segment: the flow is known by our side of it."""
    one = trace(packet_type)
    traces = known(trace(packet_type, context=b"other"), one)
    kind = AnswerKind.TCP if packet_type is PacketType.TCP else AnswerKind.ECHO_REPLY
    key = keys_of(one.flow.key)[-1]._replace(target=ELSEWHERE)
    verifying = quoting(one)._replace(kind=kind, responder=ELSEWHERE, source=None, key=key)
    if packet_type is not PacketType.UDP:
        assert traces.find(verifying._replace(ip_id=None), NOW) is one
    wrong = verifying._replace(ip_id=None, tag=None, number=None)
    assert traces.find(wrong, NOW) is None


def test_datagram_from_another_address_finds_the_only_trace_with_its_port() -> None:
    """It names no probe, and nothing in it verifies."""
    one = trace(PacketType.UDP)
    key = one.flow.key._replace(target=ELSEWHERE)
    heard = Heard(AnswerKind.DATAGRAM, ELSEWHERE, key, None)
    assert known(one).find(heard, NOW) is one
    assert known(one).find(heard._replace(key=key._replace(port=53)), NOW) is None
    beside = Trace(TraceSpec(ROUTER, PacketType.UDP), flow(PacketType.UDP, target=ROUTER), now=NOW)
    assert known(one, beside).find(heard, NOW) is None


def test_ended_trace_is_not_found() -> None:
    """By no part of its key, and nothing is kept of it."""
    one = trace(PacketType.GRE)
    traces = known(one)
    assert traces.remove(one)
    assert not traces.remove(one)
    for heard in (quoting(one), quoting(one, target=ELSEWHERE), quoting(one, identifier=7)):
        assert traces.find(heard, NOW) is None
    assert len(traces) == 0
    assert list(traces) == []


def test_search_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers can trigger it. An answer with the whole key needs no search."""
    monkeypatch.setattr(lookup, "SEARCH_BURST", 3)
    monkeypatch.setattr(lookup, "SEARCH_RATE", 1.0)
    one = trace(PacketType.TCP)
    traces = known(one)
    stranger = quoting(one, SENT, target=ELSEWHERE)
    for _ in range(5):
        assert traces.find(stranger, NOW) is None
    assert traces.find(quoting(one, target=ELSEWHERE), NOW) is None
    assert traces.find(quoting(one), NOW) is one
    later = NOW + 5_000_000_000
    assert traces.find(quoting(one, target=ELSEWHERE), later) is one


def test_short_quote_needs_the_source_or_the_target() -> None:
    """With another target and another source it shows neither side."""
    one = trace(PacketType.ICMP)
    heard = quoting(one, tagged=False, target=ELSEWHERE)
    assert known(one).find(heard, NOW) is one
    assert heard.source == SOURCE
    assert known(one).find(heard._replace(source=ELSEWHERE), NOW) is None
