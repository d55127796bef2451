"""Which probe an answer is for: what verifies, and nothing else."""

import dataclasses
import struct

import pytest
from colotrace_agent.engine.matching import Miss, match
from colotrace_agent.model import AnswerKind, Flow, Heard
from colotrace_agent.packets.checksum import ones_sum
from colotrace_agent.packets.formats import keys_of, number_of
from colotrace_agent.packets.icmp import echo_steering
from colotrace_agent.packets.tcp import TCP_SPACING
from colotrace_proto.messages import MAX_PROBES, PacketType
from hypothesis import given
from hypothesis import strategies as st
from unit.agent.made import ROUTER, SOURCE, TYPES, flow

SHORT = [PacketType.ICMP, PacketType.UDP]
SPACE = {
    PacketType.ICMP: 1 << 16,
    PacketType.UDP: 0xFFFE,
    PacketType.TCP: 1 << 32,
    PacketType.GRE: 1 << 16,
}
# Distances from the first number: anywhere, of the probes and near them.
NUMBERS = st.one_of(
    st.integers(0, (1 << 32) - 1),
    st.integers(0, MAX_PROBES * TCP_SPACING),
    st.integers(0, MAX_PROBES).map(lambda ordinal: ordinal * TCP_SPACING),
)
COUNTS = st.integers(1, MAX_PROBES)


@st.composite
def flows(draw: st.DrawFn, types: list[PacketType] = TYPES) -> Flow:
    """Any flow that the allocator could give."""
    kind = draw(st.sampled_from(types))
    first = draw(st.integers(0, SPACE[kind] - 1)) + (kind is PacketType.UDP)
    return flow(kind, first_number=first, context=draw(st.binary(max_size=4)))


def quoting(
    flow: Flow,
    *,
    number: int | None = None,
    ip_id: int | None = None,
    tag: bytes | None = None,
    source: bytes = SOURCE,
) -> Heard:
    """Time exceeded that quotes these fields."""
    return Heard(
        AnswerKind.TIME_EXCEEDED, ROUTER, flow.key, number, ip_id=ip_id, tag=tag, source=source
    )


@given(flows(), COUNTS, st.data())
def test_tag_identifies_its_probe(flow: Flow, sent: int, data: st.DataObject) -> None:
    """Whatever else changed on the way, but not a probe that has not been sent."""
    ordinal = data.draw(st.integers(0, MAX_PROBES - 1))
    heard = quoting(flow, number=data.draw(st.integers(0, 9)), tag=flow.marks.tag(ordinal))
    assert match(flow, heard, sent=sent) == (ordinal if ordinal < sent else Miss.FOREIGN)


@given(flows(), st.binary(min_size=8, max_size=8))
def test_wrong_tag_is_foreign(flow: Flow, tag: bytes) -> None:
    """Even if number and IP ID are right, or its bytes lie across two tags."""
    right = {"number": number_of(flow, 3), "ip_id": flow.marks.ip_ids[3]}
    assert match(flow, quoting(flow, **right, tag=tag), sent=9) is Miss.FOREIGN
    astride = flow.marks.tags[4:12]
    assert match(flow, quoting(flow, **right, tag=astride), sent=9) is Miss.FOREIGN


@given(flows(SHORT), COUNTS, st.sampled_from([0, 1, -1]), st.data())
def test_short_quote_needs_number_and_ip_id(
    flow: Flow, sent: int, off_by: int, data: st.DataObject
) -> None:
    """The IP ID as sent, or off by one, as some routers quote it."""
    ordinal = data.draw(st.integers(0, sent - 1))
    ip_id = flow.marks.ip_ids[ordinal] + off_by
    heard = quoting(flow, number=number_of(flow, ordinal), ip_id=ip_id)
    assert match(flow, heard, sent=sent) == (ordinal if ip_id else Miss.AMBIGUOUS)


@given(flows(SHORT), st.integers(0, 0xFFFF))
def test_short_quote_with_another_ip_id_is_foreign(flow: Flow, ip_id: int) -> None:
    """A number alone can be guessed."""
    sent = flow.marks.ip_ids[3]
    readings = {sent, sent - 1, sent + 1, (sent & 0xFF) << 8 | sent >> 8}
    found = match(flow, quoting(flow, number=number_of(flow, 3), ip_id=ip_id), sent=9)
    assert (found == 3) == (ip_id in readings and ip_id != 0)


@pytest.mark.parametrize("packet_type", SHORT)
def test_byte_swapped_ip_id_is_accepted(packet_type: PacketType) -> None:
    """Some routers quote it in their own byte order."""
    made = flow(packet_type)
    sent = made.marks.ip_ids[3]
    swapped = (sent & 0xFF) << 8 | sent >> 8
    assert match(made, quoting(made, number=number_of(made, 3), ip_id=swapped), sent=9) == 3


@pytest.mark.parametrize("packet_type", SHORT)
@pytest.mark.parametrize("fields", [{"number": 4_003}, {"number": 4_003, "ip_id": 0}, {"ip_id": 7}])
def test_quote_without_verifiable_fields_is_ambiguous(
    packet_type: PacketType, fields: dict[str, int]
) -> None:
    """A cleared or missing field leaves what anybody could guess."""
    made = flow(packet_type)
    assert match(made, quoting(made, **fields), sent=9) is Miss.AMBIGUOUS


@given(flows([PacketType.TCP]), COUNTS, st.data())
def test_tcp_number_suffices(flow: Flow, sent: int, data: st.DataObject) -> None:
    """It has 32 bits; the IP ID is not needed."""
    number = data.draw(NUMBERS.map(lambda offset: (flow.first_number + offset) % (1 << 32)))
    numbers = [number_of(flow, ordinal) for ordinal in range(sent)]
    wanted = numbers.index(number) if number in numbers else Miss.FOREIGN
    assert match(flow, quoting(flow, number=number, ip_id=1), sent=sent) == wanted


@given(flows([PacketType.TCP]), COUNTS, st.data())
def test_acknowledgement_identifies_its_own_syn_or_none(
    flow: Flow, sent: int, data: st.DataObject
) -> None:
    """Its number or the next one. A number that acknowledges data matches no other SYN."""
    ordinal = data.draw(st.integers(0, sent - 1))
    beyond = data.draw(st.integers(0, TCP_SPACING - 1))
    number = (number_of(flow, ordinal) + beyond) % (1 << 32)
    heard = Heard(AnswerKind.TCP, flow.target, flow.key, number)
    assert match(flow, heard, sent=sent) == (ordinal if beyond < 2 else Miss.FOREIGN)
    for length in (20, 24, 40, 44, 60, 64):  # of a header, a segment, a packet
        assert length % TCP_SPACING not in {0, 1, TCP_SPACING - 1}


def test_numbers_of_a_trace_lie_in_one_receive_window() -> None:
    """A listener would challenge a SYN beyond it (RFC 5961 section 4)."""
    made = flow(PacketType.TCP)
    assert number_of(made, MAX_PROBES - 1) - made.first_number < 64_240


def test_reset_without_acknowledgement_is_ambiguous() -> None:
    """Anybody could have sent it."""
    made = flow(PacketType.TCP)
    assert match(made, quoting(made), sent=9) is Miss.AMBIGUOUS


def test_gre_quote_of_the_key_alone_needs_the_ip_id() -> None:
    """No two probes of a flow have the same IP ID. A cleared one leaves the order of probes."""
    made = flow(PacketType.GRE)
    assert match(made, quoting(made, ip_id=made.marks.ip_ids[3]), sent=9) == 3
    assert match(made, quoting(made, ip_id=made.marks.ip_ids[9]), sent=9) is Miss.FOREIGN
    assert match(made, quoting(made, ip_id=0), sent=9) is Miss.AMBIGUOUS


def test_quote_of_the_inner_packet_needs_the_tag() -> None:
    """Beyond a tunnel's end the IP ID is not the probe's own."""
    made = flow(PacketType.GRE)
    inner = quoting(made, number=number_of(made, 3), ip_id=made.marks.ip_ids[3])
    inner = inner._replace(key=keys_of(made.key)[1])
    assert match(made, inner, sent=9) is Miss.AMBIGUOUS
    assert match(made, inner._replace(tag=made.marks.tag(3)), sent=9) == 3


@given(flows([PacketType.UDP]), st.binary(min_size=4, max_size=4), st.data())
def test_translated_udp_checksum_is_restored(
    flow: Flow, translated: bytes, data: st.DataObject
) -> None:
    """A translator changes the checksum by what it changes of the source (RFC 1624)."""
    ordinal = data.draw(st.integers(0, 99))
    change = int.from_bytes(translated, "big") - int.from_bytes(SOURCE, "big")
    number = (number_of(flow, ordinal) - change) % 0xFFFF or 0xFFFF
    heard = quoting(flow, number=number, ip_id=flow.marks.ip_ids[ordinal], source=translated)
    assert match(flow, heard, sent=100) == ordinal


@given(flows([PacketType.UDP]), st.sampled_from(["source", "target", "identifier", "port"]))
def test_translated_udp_checksum_is_restored_for_any_translation(flow: Flow, side: str) -> None:
    """Of addresses and ports of both sides; or the translator left the checksum as it was."""
    key, source = flow.key, flow.source
    before = flow.source + flow.target + struct.pack("!HH", flow.identifier, flow.port)
    if side == "source":
        source = bytes([198, 51, 100, 77])
    else:
        values = {"target": bytes([10, 0, 0, 9]), "identifier": 61_001, "port": 61_002}
        key = dataclasses.replace(flow, **{side: values[side]}).key
    after = source + key.target + struct.pack("!HH", key.identifier, key.port)
    number = number_of(flow, 5)
    changed = (number + ones_sum(before) - ones_sum(after)) % 0xFFFF or 0xFFFF
    for shown in (number, changed):
        heard = quoting(flow, number=shown, ip_id=flow.marks.ip_ids[5], source=source)
        assert match(flow, heard._replace(key=key), sent=9) == 5
    other = quoting(flow, number=number + 5, ip_id=flow.marks.ip_ids[5], source=source)
    assert match(flow, other._replace(key=key), sent=9) != 5


ECHOED = [PacketType.ICMP, PacketType.GRE]


@given(flows([*ECHOED, PacketType.UDP]), COUNTS, st.integers(0, 9), st.data())
def test_number_and_two_keyed_bytes_suffice(
    flow: Flow, sent: int, length: int, data: st.DataObject
) -> None:
    """The steering of an echo request is keyed too. Zeros at the end do not count as quoted."""
    ordinal = data.draw(st.integers(0, sent - 1))
    steering = echo_steering(flow, ordinal).to_bytes(2, "big")
    cut = (steering + flow.marks.tag(ordinal))[:length].rstrip(b"\0")
    heard = Heard(AnswerKind.ECHO_REPLY, flow.target, flow.key, number_of(flow, ordinal), cut=cut)
    keyed = len(cut) - (2 if flow.packet_type is PacketType.UDP else 0)
    assert match(flow, heard, sent=sent) == (ordinal if keyed >= 2 else Miss.AMBIGUOUS)
    filled = heard._replace(tag=cut[2:].ljust(8, b"\0"))
    assert match(flow, filled, sent=sent) == (ordinal if keyed >= 2 else Miss.FOREIGN)


@given(flows(ECHOED), st.binary(min_size=1, max_size=9))
def test_number_and_wrong_keyed_bytes_do_not_suffice(flow: Flow, cut: bytes) -> None:
    """Nor does a wrong number with the right bytes."""
    right = echo_steering(flow, 3).to_bytes(2, "big") + flow.marks.tag(3)
    heard = Heard(AnswerKind.ECHO_REPLY, flow.target, flow.key, number_of(flow, 3), cut=cut)
    expected = 3 if len(cut) >= 2 and right.startswith(cut) else Miss.AMBIGUOUS
    assert match(flow, heard, sent=9) == expected
    astray = heard._replace(number=number_of(flow, 4), cut=right[:9])
    assert match(flow, astray, sent=9) is Miss.AMBIGUOUS


def test_gre_key_and_ip_id_need_a_right_checksum_and_the_whole_key() -> None:
    """Otherwise 16 bits are a guess."""
    made = flow(PacketType.GRE)
    heard = quoting(made, ip_id=made.marks.ip_ids[3])
    assert match(made, heard, sent=9) == 3
    assert match(made, heard._replace(intact=False), sent=9) is Miss.AMBIGUOUS
    elsewhere = heard.key._replace(target=ROUTER)
    assert match(made, heard._replace(key=elsewhere), sent=9) == 3
    other_key = heard.key._replace(identifier=7)
    assert match(made, heard._replace(key=other_key), sent=9) is Miss.AMBIGUOUS


@given(flows())
def test_numbers_and_marks_of_a_trace_are_distinct(flow: Flow) -> None:
    """One identity for each packet, and none that the wire cannot carry."""
    numbers = [number_of(flow, ordinal) for ordinal in range(MAX_PROBES)]
    tags = {flow.marks.tag(ordinal) for ordinal in range(MAX_PROBES)}
    assert len(set(numbers)) == len(set(flow.marks.ip_ids)) == len(tags) == MAX_PROBES
    assert 0 not in flow.marks.ip_ids
    if flow.packet_type is PacketType.UDP:
        assert not {0, 0xFFFF} & set(numbers)


def test_numbers_wrap_around() -> None:
    """Also if the caller's port is the last sequence number."""
    made = dataclasses.replace(flow(PacketType.ICMP), first_number=65_535)
    assert [number_of(made, ordinal) for ordinal in range(3)] == [65_535, 0, 1]
    heard = quoting(made, number=1, ip_id=made.marks.ip_ids[2])
    assert match(made, heard, sent=3) == 2
