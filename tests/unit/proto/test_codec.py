"""Messages over the wire and back, and everything the other side may not send."""

from collections.abc import Callable

import pytest
from colotrace_proto import codec, published
from colotrace_proto import messages as m
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.notices import MAX_TEXT, Notice, NoticeCode, sentence
from colotrace_proto.text import safe
from colotrace_proto.v1 import fleet_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

IDENTIFIERS = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
JOB_IDS = IDENTIFIERS.map(m.JobId)
# Printable, as what has been decoded always is.
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=80).map(
    lambda text: "".join(c for c in text if c.isprintable())
)
UINT32 = st.integers(0, 2**32 - 1)
ADDRESSES = st.sampled_from([4, 16]).flatmap(lambda n: st.binary(min_size=n, max_size=n))
PROBED = st.sets(st.sampled_from(list(m.PacketType)))


@st.composite
def replies(draw: st.DrawFn) -> m.Replies:
    """Columns of one length that count into their nodes."""
    labels = st.lists(TEXTS.filter(lambda text: len(text) <= m.MAX_LABEL), max_size=3).map(tuple)
    nodes = st.builds(m.Node, ADDRESSES, st.sampled_from(m.NodeKind), labels)
    lines = draw(st.lists(nodes, max_size=5))
    count = draw(st.integers(len(lines), 20)) if lines else 0

    def column(least: int, most: int) -> tuple[int, ...]:
        numbers = st.integers(least, most)
        return tuple(draw(st.lists(numbers, min_size=count, max_size=count)))

    node = column(0, len(lines) - 1) if lines else ()
    return m.Replies(column(1, m.MAX_TTL), column(0, m.MAX_RTT_NS), node, tuple(lines))


TTLS = st.integers(1, m.MAX_TTL)
# Codes of a newer peer among them.
NOTICES = st.builds(
    Notice,
    code=st.sampled_from(NoticeCode) | UINT32,
    ttls=st.lists(TTLS, max_size=5).map(tuple),
    addresses=st.lists(ADDRESSES, max_size=5).map(tuple),
    count=st.integers(0, 2**64 - 1),
    least=UINT32,
    most=UINT32,
    name=TEXTS,
    reason=TEXTS,
    families=st.sampled_from([(), (4,), (6,), (4, 6)]),
    errors=st.lists(st.tuples(st.integers(1, 4_095), UINT32), max_size=3).map(tuple),
    packet_type=st.sampled_from(["", *m.PacketType]),
)
OUTCOMES = st.builds(
    m.Outcome,
    failure=st.sampled_from(m.Failure),
    cause=st.none() | NOTICES,
    duration_ns=st.integers(0, 2**63),
    notices=st.lists(NOTICES, max_size=3).map(tuple),
    duplicates=UINT32,
    late=UINT32,
    foreign=UINT32,
    ambiguous=UINT32,
    links=st.lists(
        st.builds(m.Edge, st.integers(1, m.MAX_TTL - 1), ADDRESSES, ADDRESSES, UINT32), max_size=3
    ).map(tuple),
)
HELLOS = st.builds(
    m.Hello,
    agent_id=IDENTIFIERS.map(m.AgentId),
    boot_id=st.binary(min_size=16, max_size=16),
    colo=st.from_regex(r"[a-z]{3,8}[0-9]{1,4}", fullmatch=True).map(m.ColoName),
    city=TEXTS,
    families=st.sets(st.sampled_from(m.Family)).map(frozenset),
    packet_types=PROBED.map(frozenset),
    software_version=TEXTS.map(lambda text: text[:64]),
    max_jobs=UINT32,
    held_jobs=st.lists(JOB_IDS, max_size=5).map(tuple),
    protocol_version=st.integers(1, 99),
)
COUNTERS = st.builds(m.Counters, sent=st.integers(0, 2**64 - 1), late=st.integers(0, 2**64 - 1))
HEARTBEATS = st.builds(m.Heartbeat, UINT32, COUNTERS)
PRESENCES = st.builds(
    m.Presence,
    hello=HELLOS,
    started_ms=st.integers(0, 2**64 - 1),
    draining=st.booleans(),
    heartbeat=HEARTBEATS,
)
FROM_AGENT = st.one_of(
    HELLOS,
    HEARTBEATS,
    st.just(m.Draining()),
    st.builds(m.Capabilities, st.sets(st.sampled_from(m.Family)).map(frozenset)),
    st.builds(m.Accepted, JOB_IDS),
    st.builds(m.Refused, JOB_IDS, st.sampled_from(m.RefusalReason), st.none() | NOTICES),
    st.builds(
        m.Frame,
        job_id=JOB_IDS,
        sequence=st.integers(1, 2**32 - 1),
        target_address=ADDRESSES | st.just(b""),
        sent=st.lists(st.integers(0, m.MAX_JOB_PROBES), max_size=m.MAX_TTL).map(tuple),
        replies=replies(),
        outcome=st.none() | OUTCOMES,
    ),
)
ACKS = st.builds(m.Ack, JOB_IDS, UINT32)
WHERE = st.sampled_from(["", "10.0.0.1:50051", "[::1]:443", "c1.example.net:1"])
JOBS = st.builds(
    m.Job,
    job_id=JOB_IDS,
    target=st.text(st.characters(codec="utf-8"), min_size=1, max_size=m.MAX_TARGET),
    packet_type=st.sampled_from(m.PacketType),
    max_ttl=st.integers(1, m.MAX_TTL),
    packets_per_ttl=st.integers(1, m.MAX_PACKETS_PER_TTL),
    wait_ms=st.integers(1, m.MAX_WAIT_MS),
    port=st.integers(0, 65_535),
    flow=UINT32,
    remaining_ms=st.integers(0, m.MAX_REMAINING_MS),
    multipath=st.booleans(),
    reply_to=WHERE,
)
FROM_COORDINATOR = st.one_of(
    st.builds(
        m.Welcome,
        coordinator_id=st.binary(min_size=16, max_size=16),
        heartbeat_ms=st.integers(100, 600_000),
        wanted_jobs=st.lists(ACKS, max_size=5).map(tuple),
        protocol_version=st.integers(1, 99),
    ),
    st.just(m.Heartbeat()),
    JOBS,
    st.builds(m.Cancel, JOB_IDS),
    ACKS,
)


@given(FROM_AGENT)
def test_message_of_an_agent_survives_the_wire(message: m.FromAgent) -> None:
    """Through bytes and back."""
    wire = codec.encode_from_agent(message).SerializeToString()
    assert codec.decode_from_agent(pb.AgentMessage.FromString(wire)) == message


@given(FROM_COORDINATOR)
def test_message_of_a_coordinator_survives_the_wire(message: m.FromCoordinator) -> None:
    """Through bytes and back."""
    wire = codec.encode_from_coordinator(message).SerializeToString()
    assert codec.decode_from_coordinator(pb.CoordinatorMessage.FromString(wire)) == message


def test_message_of_an_unknown_kind_is_ignored() -> None:
    """Field 99 is not defined."""
    newer = bytes([0x9A, 0x06, 2, 0x08, 1])
    assert codec.decode_from_agent(pb.AgentMessage.FromString(newer)) is None
    assert codec.decode_from_coordinator(pb.CoordinatorMessage.FromString(newer)) is None


def test_unknown_enumeration_value_reads_as_zero() -> None:
    """Which never means success."""
    frame = pb.Frame(job_id="a", sequence=1, ttl=[1], rtt_ns=[1], node=[0])
    frame.nodes.add(address=bytes(4), kind=77)  # type: ignore[arg-type]
    frame.outcome.failure = 88  # type: ignore[assignment]
    decoded = codec.decode_from_agent(pb.AgentMessage(frame=frame))
    assert isinstance(decoded, m.Frame)
    assert decoded.replies.nodes[0].kind is m.NodeKind.TRANSIT
    assert decoded.outcome is not None
    assert decoded.outcome.failure is m.Failure.UNSPECIFIED
    hello = pb.Hello(
        protocol_version=9, agent_id="a", boot_id=bytes(16), colo="den01", families=[4, 9],  # type: ignore[list-item]
        packet_types=[1, 99],  # type: ignore[list-item]
    )  # fmt: skip
    greeting = codec.decode_from_agent(pb.AgentMessage(hello=hello))
    assert isinstance(greeting, m.Hello)
    assert greeting.families == {m.Family.IPV4}
    assert greeting.packet_types == {m.PacketType.ICMP}
    assert greeting.protocol_version == 9


def hello() -> pb.Hello:
    return pb.Hello(protocol_version=1, agent_id="a", boot_id=bytes(16), colo="den01")


def frame() -> pb.Frame:
    out = pb.Frame(job_id="a", sequence=1, ttl=[1, 2], rtt_ns=[5, 6], node=[0, 0])
    out.nodes.add(address=bytes(4))
    return out


def changed(message: pb.Hello | pb.Frame, change: Callable[..., object]) -> pb.AgentMessage:
    change(message)
    if isinstance(message, pb.Hello):
        return pb.AgentMessage(hello=message)
    return pb.AgentMessage(frame=message)


BAD_HELLOS = {
    "no agent id": lambda h: h.ClearField("agent_id"),
    "an agent id with a space": lambda h: setattr(h, "agent_id", "a b"),
    "an agent id too long": lambda h: setattr(h, "agent_id", "a" * 65),
    "an agent id with a line break": lambda h: setattr(h, "agent_id", "a\n"),
    "no colo": lambda h: h.ClearField("colo"),
    "a colo without a number": lambda h: setattr(h, "colo", "den"),
    "a colo in capitals": lambda h: setattr(h, "colo", "DEN01"),
    "a short boot id": lambda h: setattr(h, "boot_id", bytes(15)),
    "a long boot id": lambda h: setattr(h, "boot_id", bytes(17)),
    "no version": lambda h: h.ClearField("protocol_version"),
    "too many held jobs": lambda h: h.held_jobs.extend(["a"] * (m.MAX_HELD_JOBS + 1)),
    "too many families": lambda h: h.families.extend([4] * 17),
    "too many packet types": lambda h: h.packet_types.extend([1] * 65),
}
BAD_FRAMES = {
    "no job": lambda f: f.ClearField("job_id"),
    "no sequence": lambda f: f.ClearField("sequence"),
    "an address of 5 bytes": lambda f: setattr(f, "target_address", bytes(5)),
    "65 TTLs": lambda f: f.sent.extend([1] * 65),
    "more probes sent than any job has": lambda f: f.sent.append(m.MAX_JOB_PROBES + 1),
    "more replies than any job has": lambda f: (
        [c.extend([1] * (m.MAX_JOB_PROBES - 1)) for c in (f.ttl, f.rtt_ns)]
        and f.node.extend([0] * (m.MAX_JOB_PROBES - 1))
    ),
    "a short column": lambda f: f.rtt_ns.pop(),
    "a long column": lambda f: f.node.append(0),
    "TTL 0": lambda f: f.ttl.__setitem__(0, 0),
    "TTL 65": lambda f: f.ttl.__setitem__(0, 65),
    "an RTT over a minute": lambda f: f.rtt_ns.__setitem__(0, m.MAX_RTT_NS + 1),
    "a node that is not there": lambda f: f.node.__setitem__(0, 1),
    "more nodes than replies": lambda f: [f.nodes.add(address=bytes(4)) for _ in range(2)],
    "a node of 3 bytes": lambda f: setattr(f.nodes[0], "address", bytes(3)),
    "a node of none": lambda f: f.nodes[0].ClearField("address"),
    "17 labels": lambda f: f.nodes[0].labels.extend(["x"] * 17),
    "a link from TTL 0": lambda f: f.outcome.links.add(ttl=0, to=bytes(4), **{"from": bytes(4)}),
    "a link from TTL 64": lambda f: f.outcome.links.add(ttl=64, to=bytes(4), **{"from": bytes(4)}),
    "a link to nobody": lambda f: f.outcome.links.add(ttl=1, **{"from": bytes(4)}),
    "too many links": lambda f: [
        f.outcome.links.add(ttl=1, to=bytes(4), **{"from": bytes(4)})
        for _ in range(m.MAX_LINKS + 1)
    ],
    "17 texts": lambda f: f.outcome.notices.extend(["x"] * 17),
    "17 notices": lambda f: [f.outcome.remarks.add(code=1) for _ in range(17)],
    "a notice with 65 TTLs": lambda f: f.outcome.remarks.add(code=1, ttls=[1] * 65),
    "a notice of TTL 0": lambda f: f.outcome.remarks.add(code=1, ttls=[0]),
    "a notice of TTL 65": lambda f: f.outcome.cause.ttls.append(65),
    "a notice with an address of 5 bytes": lambda f: f.outcome.cause.addresses.append(bytes(5)),
    "a notice with 17 addresses": lambda f: f.outcome.cause.addresses.extend([bytes(4)] * 17),
    "a notice with 17 families": lambda f: f.outcome.cause.families.extend([4] * 17),
    "a notice with 65 errors": lambda f: [f.outcome.cause.errors.add(errno=1) for _ in range(65)],
    "a notice of errno 0": lambda f: f.outcome.cause.errors.add(errno=0),
    "a notice of errno 4096": lambda f: f.outcome.cause.errors.add(errno=4_096),
}


@pytest.mark.parametrize("change", BAD_HELLOS.values(), ids=BAD_HELLOS.keys())
def test_hello_out_of_bounds_raises_protocol_error(change: Callable[..., object]) -> None:
    """Each bound by itself."""
    assert isinstance(codec.decode_from_agent(pb.AgentMessage(hello=hello())), m.Hello)
    with pytest.raises(ProtocolError):
        codec.decode_from_agent(changed(hello(), change))


@pytest.mark.parametrize("change", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_frame_out_of_bounds_raises_protocol_error(change: Callable[..., object]) -> None:
    """Each bound by itself."""
    assert isinstance(codec.decode_from_agent(pb.AgentMessage(frame=frame())), m.Frame)
    with pytest.raises(ProtocolError):
        codec.decode_from_agent(changed(frame(), change))


BAD_FROM_COORDINATOR = {
    "a short coordinator id": pb.CoordinatorMessage(
        welcome=pb.Welcome(coordinator_id=bytes(15), heartbeat_ms=1_000)
    ),
    "no heartbeat": pb.CoordinatorMessage(welcome=pb.Welcome(coordinator_id=bytes(16))),
    "a hasty heartbeat": pb.CoordinatorMessage(
        welcome=pb.Welcome(coordinator_id=bytes(16), heartbeat_ms=99)
    ),
    "a sleepy heartbeat": pb.CoordinatorMessage(
        welcome=pb.Welcome(coordinator_id=bytes(16), heartbeat_ms=600_001)
    ),
    "too many wanted jobs": pb.CoordinatorMessage(
        welcome=pb.Welcome(
            coordinator_id=bytes(16),
            heartbeat_ms=1_000,
            wanted_jobs=[pb.Ack(job_id="a")] * (m.MAX_HELD_JOBS + 1),
        )
    ),
    "a job without an id": pb.CoordinatorMessage(job=pb.Job()),
    "a cancel without an id": pb.CoordinatorMessage(cancel=pb.Cancel()),
    "an ack of no form": pb.CoordinatorMessage(ack=pb.Ack(job_id="ä")),
}


@pytest.mark.parametrize("message", BAD_FROM_COORDINATOR.values(), ids=BAD_FROM_COORDINATOR.keys())
def test_coordinator_message_out_of_bounds_raises_protocol_error(
    message: pb.CoordinatorMessage,
) -> None:
    """An agent does not trust its coordinator's form either."""
    with pytest.raises(ProtocolError):
        codec.decode_from_coordinator(message)


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        *[("packet_type", 0, "packet type"), ("packet_type", 99, "packet type")],
        *[("max_ttl", 0, "max_ttl"), ("max_ttl", 65, "max_ttl")],
        *[("packets_per_ttl", 0, "packets_per_ttl"), ("packets_per_ttl", 11, "packets_per_ttl")],
        *[("wait_ms", 0, "wait_ms"), ("wait_ms", 5_001, "wait_ms"), ("port", 65_536, "port")],
        *[("target", "", "target"), ("target", "a" * 256, "target")],
    ],
)
def test_job_out_of_bounds_is_unknown_job(field: str, value: int | str, word: str) -> None:
    """It may come from a newer coordinator: the stream stays up, and the reason names the field."""
    job = pb.Job(job_id="a", target="x", max_ttl=1, packets_per_ttl=1, wait_ms=1)
    job.packet_type = pb.PACKET_TYPE_UDP
    assert isinstance(codec.decode_from_coordinator(pb.CoordinatorMessage(job=job)), m.Job)
    setattr(job, field, value)
    decoded = codec.decode_from_coordinator(pb.CoordinatorMessage(job=job))
    assert isinstance(decoded, m.UnknownJob)
    assert word in sentence(decoded.notice)


def test_remaining_time_of_a_job_is_bounded() -> None:
    """A deadline in the far future is an error of the peer."""
    job = pb.Job(job_id="a", target="x", max_ttl=1, packets_per_ttl=1, wait_ms=1, packet_type=1)  # type: ignore[arg-type]
    job.remaining_ms = 2**32 - 1
    decoded = codec.decode_from_coordinator(pb.CoordinatorMessage(job=job))
    assert isinstance(decoded, m.Job)
    assert decoded.remaining_ms == m.MAX_REMAINING_MS


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


LONG = Notice(
    NoticeCode.TEXT, (1,) * 99, (bytes(4),) * 99, name="n" * 999, reason="r" * 999,
    errors=((1, 1),) * 99,
)  # fmt: skip


def test_encoder_cuts_what_exceeds_the_bounds() -> None:
    """Otherwise the peer would end the stream."""
    outcome = m.Outcome(
        m.Failure.NONE,
        cause=LONG,
        notices=(LONG,) * 99,
        links=(m.Edge(1, bytes(4), bytes(4), 1),) * (m.MAX_LINKS + 1),
    )
    node = m.Node(bytes(4), labels=("l" * 99,) * 99)
    sent = m.Frame(m.JobId("a"), 1, replies=m.Replies((1,), (1,), (0,), (node,)), outcome=outcome)
    decoded = codec.decode_from_agent(codec.encode_from_agent(sent))
    assert isinstance(decoded, m.Frame)
    assert decoded.outcome is not None
    assert decoded.outcome.cause == decoded.outcome.notices[0]
    assert len(decoded.outcome.notices[0].reason) == MAX_TEXT
    assert len(decoded.outcome.notices) == m.MAX_NOTICES
    assert len(decoded.outcome.links) == m.MAX_LINKS
    assert [len(label) for label in decoded.replies.nodes[0].labels] == [m.MAX_LABEL] * m.MAX_LABELS


def test_unknown_job_cannot_be_encoded() -> None:
    """The decoder makes it of a job with an unknown value."""
    with pytest.raises(KeyError, match="UnknownJob"):
        codec.encode_from_coordinator(
            m.UnknownJob(m.JobId("a"), Notice(NoticeCode.TEXT, reason="x"))
        )


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_protocol_error(data: bytes) -> None:
    """Whatever parses as protobuf."""
    for parse, decode in (
        (pb.AgentMessage, codec.decode_from_agent),
        (pb.CoordinatorMessage, codec.decode_from_coordinator),
    ):
        message = parse()
        try:
            message.ParseFromString(data)
        except Exception:  # noqa: BLE001, S112 - protobuf's own refusal is not ours to test
            continue
        try:
            decode(message)  # type: ignore[operator]
        except ProtocolError:
            continue


@given(PRESENCES)
def test_a_presence_arrives(presence: m.Presence) -> None:
    """As it was said, and within what a broker is asked to carry."""
    payload = published.encode_presence(presence)
    assert published.decode_presence(payload) == presence
    assert len(payload) < published.MAX_PUBLISHED


@given(JOBS | st.builds(m.Cancel, JOB_IDS))
def test_what_is_published_arrives(message: m.Job | m.Cancel) -> None:
    """The same bytes as on a stream."""
    payload = published.encode_published(message)
    assert published.decode_published(payload) == message
    assert payload == codec.encode_from_coordinator(message).SerializeToString()
    assert len(payload) < published.MAX_PUBLISHED


@given(st.binary(max_size=300))
def test_any_bytes_on_a_broker(data: bytes) -> None:
    """A message, or an error of ours; nothing else."""
    for decode in (published.decode_presence, published.decode_published):
        try:
            decode(data)
        except ProtocolError:
            continue


@pytest.mark.parametrize("decode", [published.decode_presence, published.decode_published])
def test_more_than_a_broker_is_asked_to_carry(decode: Callable[[bytes], object]) -> None:
    """It is not even looked at."""
    with pytest.raises(ProtocolError, match="longer than"):
        decode(bytes(published.MAX_PUBLISHED + 1))


@pytest.mark.parametrize(
    "message", [m.Heartbeat(), m.Ack(m.JobId("a"), 1), m.Welcome(bytes(16), 5_000)]
)
def test_what_belongs_on_a_stream_is_not_published(message: m.FromCoordinator) -> None:
    """Whoever publishes it is no coordinator of ours."""
    payload = codec.encode_from_coordinator(message).SerializeToString()
    with pytest.raises(ProtocolError):
        published.decode_published(payload)


def test_what_a_newer_coordinator_publishes() -> None:
    """Unknown messages are passed over; an unknown job says whom to answer."""
    assert published.decode_published(b"\xa2\x06\x03abc") is None
    assert published.decode_published(b"") is None
    job = pb.Job(job_id="a", reply_to="[::1]:7")
    decoded = published.decode_published(pb.CoordinatorMessage(job=job).SerializeToString())
    assert isinstance(decoded, m.UnknownJob)
    assert decoded.reply_to == "[::1]:7"


@pytest.mark.parametrize("where", ["x", "h:0", "unix:/tmp/x", "dns:///h:1", "h:1 "])
def test_a_job_that_leads_somewhere_strange(where: str) -> None:
    """Only HOST:PORT is dialled."""
    with pytest.raises(ProtocolError, match="reply_to"):
        codec.decode_from_coordinator(pb.CoordinatorMessage(job=pb.Job(job_id="a", reply_to=where)))


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
