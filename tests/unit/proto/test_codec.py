"""Messages over the wire and back, and everything the other side may not send."""

from collections.abc import Callable

import pytest
from colotrace_proto import codec
from colotrace_proto import messages as m
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.notices import MAX_TEXT, Notice, NoticeCode, sentence
from colotrace_proto.v1 import fleet_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.proto.wire_messages import FROM_AGENT, FROM_COORDINATOR, frame, hello, node


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


def test_nodes_of_a_frame_are_embedded_messages() -> None:
    """On the wire as in release 0.2.0, which has `repeated Node nodes = 8`."""
    wire = pb.Frame(nodes=[node(address=bytes([192, 0, 2, 1]), kind=1)]).SerializeToString()
    assert wire == bytes.fromhex("4208" + "0a04c0000201" + "1001")


def test_frame_of_release_0_2_has_no_ordinals_and_flows() -> None:
    """Recorded bytes of release 0.2.0: two replies of the target."""
    wire = bytes.fromhex(
        "322a0a026a3110011a04c6336401220203032a020101"
        "3206c0843d80897a3a02000042080a04c00002011001"
    )  # fmt: skip
    frame = codec.decode_from_agent(pb.AgentMessage.FromString(wire))
    assert isinstance(frame, m.Frame)
    assert frame.replies.rtt_ns == (1_000_000, 2_000_000)
    assert (frame.replies.ordinal, frame.replies.flow) == ((), ())
    assert (frame.source_address, frame.flows) == (b"", ())


def test_frame_begins_with_the_bytes_of_release_0_2() -> None:
    """A coordinator of release 0.2 finds its fields where they were, and ignores those behind."""
    node = m.Node(bytes([192, 0, 2, 1]), m.NodeKind.TARGET)
    older = m.Frame(
        m.JobId("j1"), 1, bytes([198, 51, 100, 1]), (3, 3),
        m.Replies((1, 1), (1_000_000, 2_000_000), (0, 0), (node,)),
    )  # fmt: skip
    newer = replace(
        older,
        replies=replace(older.replies, ordinal=(0, 1), flow=(0, 0)),
        source_address=bytes([10, 0, 0, 1]),
        flows=(m.FlowFields(m.PacketType.UDP, 0, 20_001, 33_434),),
    )
    before = codec.encode_from_agent(older).frame.SerializeToString()
    after = codec.encode_from_agent(newer).frame.SerializeToString()
    assert after.startswith(before)
    assert after[len(before)] >> 3 == pb.Frame.ORDINAL_FIELD_NUMBER


def test_job_of_release_0_2_has_no_owner() -> None:
    """An agent of release 0.2 finds its fields where they were, and ignores the owner behind."""
    older = m.Job(m.JobId("a"), "192.0.2.1", m.PacketType.ICMP, 15, 3, 1_000, 0, 0, 9_000)
    before = codec.encode_from_coordinator(older)
    assert codec.decode_from_coordinator(before) == older
    newer = replace(older, owner=m.Owner(1, 2))
    owner = codec.encode_from_coordinator(newer).job.SerializeToString()
    owner = owner.removeprefix(before.job.SerializeToString())
    assert owner == bytes.fromhex("620a" + "0d01000000" + "1502000000")


def test_job_without_a_family_is_as_before() -> None:
    """An agent that does not know the field finds the job unchanged."""
    job = m.Job(m.JobId("a"), "a.example", m.PacketType.ICMP, 15, 3, 1_000, 0, 0, 9_000)
    before = codec.encode_from_coordinator(job).job.SerializeToString()
    family = codec.encode_from_coordinator(replace(job, family=m.Family.IPV6)).job
    assert family.SerializeToString().removeprefix(before) == bytes.fromhex("6806")


def test_flow_column_of_zeros_is_not_sent() -> None:
    """A job with one flow does not pay for it; the reader fills it in."""
    replies = m.Replies((1, 2), (5, 6), (0, 0), (m.Node(bytes(4)),), (0, 3), (0, 0))
    wire = codec.encode_from_agent(m.Frame(m.JobId("a"), 1, replies=replies))
    assert not wire.frame.flow
    decoded = codec.decode_from_agent(wire)
    assert isinstance(decoded, m.Frame)
    assert decoded.replies == replies


def test_flow_of_an_unknown_packet_type_has_none() -> None:
    """A newer agent may have types that are not known here."""
    newer = frame()
    newer.flows.add(packet_type=99, number=7)  # type: ignore[arg-type]
    decoded = codec.decode_from_agent(pb.AgentMessage(frame=newer))
    assert isinstance(decoded, m.Frame)
    assert decoded.flows == (m.FlowFields(None, number=7),)


def test_unknown_enumeration_value_reads_as_zero() -> None:
    """Which never means success."""
    frame = pb.Frame(job_id="a", sequence=1, ttl=[1], rtt_ns=[1], node=[0])
    frame.nodes.append(node(address=bytes(4), kind=77))
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
    "too many tags": lambda h: h.tags.update({f"k{n}": "v" for n in range(17)}),
    "a tag with a space": lambda h: h.tags.update({"k": "a b"}),
    "a tag with a capital key": lambda h: h.tags.update({"K": "v"}),
    "a tag without a value": lambda h: h.tags.update({"k": ""}),
    "a latitude beyond a pole": lambda h: setattr(h.location, "latitude", -90.1),
    "a longitude beyond 180": lambda h: setattr(h.location, "longitude", 180.1),
    "a latitude that is no number": lambda h: setattr(h.location, "latitude", float("nan")),
    "an infinite longitude": lambda h: setattr(h.location, "longitude", float("inf")),
    "a tag with a long value": lambda h: h.tags.update({"k": "v" * 65}),
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
    "more nodes than replies": lambda f: f.nodes.extend([node(address=bytes(4))] * 2),
    "a node of 3 bytes": lambda f: f.nodes.__setitem__(0, node(address=bytes(3))),
    "a node of none": lambda f: f.nodes.__setitem__(0, b""),
    "a node that is none": lambda f: f.nodes.__setitem__(0, b"\xff"),
    "17 labels": lambda f: f.nodes.__setitem__(0, node(address=bytes(4), labels=["x"] * 17)),
    "a link from TTL 0": lambda f: f.outcome.links.add(ttl=0, to=bytes(4), **{"from": bytes(4)}),
    "a link from TTL 64": lambda f: f.outcome.links.add(ttl=64, to=bytes(4), **{"from": bytes(4)}),
    "a link to nobody": lambda f: f.outcome.links.add(ttl=1, **{"from": bytes(4)}),
    "too many links": lambda f: [
        f.outcome.links.add(ttl=1, to=bytes(4), **{"from": bytes(4)})
        for _ in range(m.MAX_LINKS + 1)
    ],
    "a short column of ordinals": lambda f: f.ordinal.append(0),
    "flows without ordinals": lambda f: f.flow.extend([0, 0]),
    "a short column of flows": lambda f: (f.ordinal.extend([0, 1]), f.flow.append(0)),
    "an ordinal beyond a flow's probes": lambda f: f.ordinal.extend([0, m.MAX_PROBES]),
    "a flow beyond a job's probes": lambda f: (
        f.ordinal.extend([0, 1]),
        f.flow.extend([0, m.MAX_JOB_PROBES]),
    ),
    "more flows than any job has probes": lambda f: f.flows.extend(
        [pb.Flow()] * (m.MAX_JOB_PROBES + 1)
    ),
    "a source address of 5 bytes": lambda f: setattr(f, "source_address", bytes(5)),
    "source port 65536": lambda f: f.flows.add(source_port=65_536),
    "destination port 65536": lambda f: f.flows.add(destination_port=65_536),
    "a flow label of 21 bits": lambda f: f.flows.add(flow_label=1 << 20),
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


@pytest.mark.parametrize(
    "usage",
    [
        pb.Usage(cpu_millis=m.MAX_CPU_MILLIS + 1),
        pb.Usage(memory_bytes=m.MAX_MEMORY_BYTES + 1),
    ],
    ids=["cpu", "memory"],
)
def test_usage_out_of_bounds_raises_protocol_error(usage: pb.Usage) -> None:
    with pytest.raises(ProtocolError, match="usage"):
        codec.decode_from_agent(pb.AgentMessage(heartbeat=pb.Heartbeat(usage=usage)))


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
        *[("family", 1, "address family number 1"), ("family", 10, "address family number 10")],
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


@pytest.mark.parametrize("where", ["x", "h:0", "unix:/tmp/x", "dns:///h:1", "h:1 "])
def test_reply_address_other_than_host_and_port_is_refused(where: str) -> None:
    """Only HOST:PORT is dialled."""
    with pytest.raises(ProtocolError, match="reply_to"):
        codec.decode_from_coordinator(pb.CoordinatorMessage(job=pb.Job(job_id="a", reply_to=where)))
