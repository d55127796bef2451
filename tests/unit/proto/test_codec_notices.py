"""Notices over the wire, and their texts for peers of release 0.2."""

from colotrace_proto import codec
from colotrace_proto import messages as m
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.notices import MAX_TEXT, Notice, NoticeCode, sentence
from colotrace_proto.text import safe
from colotrace_proto.v1 import fleet_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from unit.proto.wire_messages import ADDRESSES, OUTCOMES, UINT32, frame


@given(st.text(max_size=2_000))
def test_text_is_bounded_and_escaped(text: str) -> None:
    """No control character reaches a terminal or a log."""
    text = text.encode("utf-8", "ignore").decode()
    refused = pb.Refused(job_id="a", detail=text)
    decoded = codec.decode_from_agent(pb.AgentMessage(refused=refused))
    assert isinstance(decoded, m.Refused)
    if not text:
        assert decoded.notice is None
        return
    assert decoded.notice == Notice(NoticeCode.TEXT, reason=safe(text, most=MAX_TEXT))
    assert sentence(decoded.notice).isprintable()


def outcome_of(wire: pb.AgentMessage) -> m.Outcome:
    decoded = codec.decode_from_agent(wire)
    assert isinstance(decoded, m.Frame)
    assert decoded.outcome is not None
    return decoded.outcome


@given(OUTCOMES)
def test_peer_of_release_0_2_gets_the_sentences(outcome: m.Outcome) -> None:
    """Release 0.2 knows the text fields alone, and shows what is in them."""
    wire = codec.encode_from_agent(m.Frame(m.JobId("a"), 1, outcome=outcome)).frame.outcome
    assert list(wire.notices) == [sentence(notice) for notice in outcome.notices]
    assert wire.detail == (sentence(outcome.cause) if outcome.cause else "")
    assert all(len(text) <= MAX_TEXT for text in (wire.detail, *wire.notices))
    refused = m.Refused(m.JobId("a"), m.RefusalReason.BUSY, outcome.cause)
    assert codec.encode_from_agent(refused).refused.detail == wire.detail


def test_texts_of_a_peer_of_release_0_2_are_shown_as_they_are() -> None:
    """An agent of release 0.2 fills the text fields alone."""
    old = frame()
    old.outcome.detail = "why"
    old.outcome.notices.extend(["one", "two\x1b"])
    outcome = outcome_of(pb.AgentMessage(frame=old))
    assert outcome.cause is not None
    assert sentence(outcome.cause) == "why"
    assert [sentence(notice) for notice in outcome.notices] == ["one", "two\\x1b"]
    refused = codec.decode_from_agent(pb.AgentMessage(refused=pb.Refused(job_id="a", detail="no")))
    assert isinstance(refused, m.Refused)
    assert refused.notice is not None
    assert sentence(refused.notice) == "no"


def test_codes_win_over_the_texts_beside_them() -> None:
    """The texts are for older readers only."""
    both = frame()
    both.outcome.detail = "another sentence"
    both.outcome.cause.code = NoticeCode.STOPPING
    both.outcome.notices.append("another sentence")
    both.outcome.remarks.add(code=NoticeCode.DETOUR)
    outcome = outcome_of(pb.AgentMessage(frame=both))
    assert outcome.cause == Notice(NoticeCode.STOPPING)
    assert outcome.notices == (Notice(NoticeCode.DETOUR),)


def test_unknown_families_and_packet_types_of_a_notice_are_ignored() -> None:
    newer = frame()
    newer.outcome.cause.MergeFrom(
        pb.Notice(code=NoticeCode.NO_FAMILY, families=[6, 9], packet_type=99)  # type: ignore[list-item, arg-type]
    )
    cause = outcome_of(pb.AgentMessage(frame=newer)).cause
    assert cause == Notice(NoticeCode.NO_FAMILY, families=(6,))


def test_name_that_is_not_utf_8_can_be_encoded() -> None:
    """The name of a network interface may be any bytes."""
    notice = Notice(NoticeCode.AGENT_FAULT, name="eth\udcff")
    wire = codec.encode_from_agent(m.Refused(m.JobId("a"), m.RefusalReason.BUSY, notice))
    assert codec.decode_from_agent(wire) == m.Refused(
        m.JobId("a"), m.RefusalReason.BUSY, Notice(NoticeCode.AGENT_FAULT, name="eth\\xff")
    )


WIRE_NOTICES = st.builds(
    pb.Notice,
    code=UINT32,
    ttls=st.lists(st.integers(1, m.MAX_TTL) | UINT32, max_size=m.MAX_TTL + 1),
    addresses=st.lists(ADDRESSES | st.binary(max_size=20), max_size=17),
    count=st.integers(0, 2**64 - 1),
    least=UINT32,
    most=UINT32,
    name=st.text(st.characters(codec="utf-8"), max_size=600),
    reason=st.text(st.characters(codec="utf-8"), max_size=600),
    families=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=17),
    errors=st.lists(st.builds(pb.SendError, errno=st.integers(1, 5_000) | UINT32, count=UINT32)),
    packet_type=st.integers(-(2**31), 2**31 - 1),
)


@given(WIRE_NOTICES, st.sampled_from(NoticeCode) | UINT32)
def test_notice_of_any_fields_is_shown_safely_or_refused(wire: pb.Notice, code: int) -> None:
    """A peer may send any value of each field's type."""
    wire.code = code
    sent = frame()
    sent.outcome.remarks.append(wire)
    sent.outcome.cause.CopyFrom(wire)
    try:
        outcome = outcome_of(pb.AgentMessage(frame=sent))
    except ProtocolError:
        return
    assert outcome.notices == (outcome.cause,)
    for notice in outcome.notices:
        assert sentence(notice).isprintable()
        assert len(sentence(notice)) <= MAX_TEXT
        assert max(len(notice.name), len(notice.reason)) <= MAX_TEXT


@given(st.binary(max_size=200))
def test_notice_of_any_bytes_is_decoded_or_refused(data: bytes) -> None:
    """The bytes stand where a refusal has its notice."""
    refused = b"\x0a\x01a" + bytes([pb.Refused.NOTICE_FIELD_NUMBER << 3 | 2])
    refused += len(data).to_bytes(1) if len(data) < 0x80 else bytes([len(data) & 0x7F | 0x80, 1])
    refused += data
    payload = bytes([pb.AgentMessage.REFUSED_FIELD_NUMBER << 3 | 2])
    payload += bytes([len(refused) & 0x7F | 0x80, len(refused) >> 7]) + refused
    try:
        decoded = codec.parse_from_agent(payload)
    except ProtocolError:
        return
    assert isinstance(decoded, m.Refused)
    assert decoded.notice is not None
    assert sentence(decoded.notice).isprintable()
