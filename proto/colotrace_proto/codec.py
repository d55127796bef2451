"""Between the generated protobuf classes and `messages`, with every bound checked on the way in.

Nothing that comes from the other side is trusted: what is too long, out of range or not of its
form raises `ProtocolError`, which ends the stream; what is merely unknown (a newer side's field
or message) is passed over, and an unknown value in a job becomes `UnknownJob`, to be refused.
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar, assert_never

from google.protobuf.message import DecodeError

from . import messages as m
from .identifiers import is_address, is_colo_name, is_identifier
from .text import safe
from .v1 import fleet_pb2 as pb

_PACKET_TYPES = {
    m.PacketType.ICMP: pb.PACKET_TYPE_ICMP,
    m.PacketType.UDP: pb.PACKET_TYPE_UDP,
    m.PacketType.TCP: pb.PACKET_TYPE_TCP,
    m.PacketType.GRE: pb.PACKET_TYPE_GRE,
    m.PacketType.GRE_ICMP: pb.PACKET_TYPE_GRE_ICMP,
}
_PACKET_TYPE_WORDS = {number: word for word, number in _PACKET_TYPES.items()}
_FAMILIES = {
    m.Family.IPV4: pb.ADDRESS_FAMILY_IPV4,
    m.Family.IPV6: pb.ADDRESS_FAMILY_IPV6,
}
_FAMILY_WORDS: dict[int, m.Family] = {number: word for word, number in _FAMILIES.items()}
_MAX_FAMILIES = 16

_E = TypeVar("_E", m.NodeKind, m.RefusalReason, m.Failure)


# A length-delimited field's tag: its number, and 2 for its kind.
_FRAME_TAG = bytes([pb.AgentMessage.FRAME_FIELD_NUMBER << 3 | 2])
_FIRST_TEXT_TAG = bytes([pb.Frame.JOB_ID_FIELD_NUMBER << 3 | 2])


class ProtocolError(Exception):
    """The other side sent what the protocol forbids."""


def encode_from_agent(message: m.FromAgent) -> pb.AgentMessage:
    """An agent's message, ready to be sent."""
    match message:
        case m.Hello():
            return pb.AgentMessage(hello=_hello_out(message))
        case m.Heartbeat():
            return pb.AgentMessage(heartbeat=_heartbeat_out(message))
        case m.Draining():
            return pb.AgentMessage(draining=pb.Draining())
        case m.Accepted():
            return pb.AgentMessage(accepted=pb.Accepted(job_id=message.job_id))
        case m.Refused():
            refused = pb.Refused(
                job_id=message.job_id,
                reason=pb.Refused.Reason.ValueType(message.reason),
                detail=message.detail[: m.MAX_TEXT],
            )
            return pb.AgentMessage(refused=refused)
        case m.Frame():
            return pb.AgentMessage(frame=_frame_out(message))
        case m.Capabilities():
            return pb.AgentMessage(
                capabilities=pb.Capabilities(families=_families_out(message.families))
            )
        case _:
            assert_never(message)


def decode_from_agent(message: pb.AgentMessage) -> m.FromAgent | None:
    """An agent's message; None for one that this side does not know.

    Raises:
        ProtocolError: a value is out of the bounds of `messages`.
    """
    match message.WhichOneof("message"):
        case "hello":
            return _hello_in(message.hello)
        case "heartbeat":
            return _heartbeat_in(message.heartbeat)
        case "draining":
            return m.Draining()
        case "accepted":
            return m.Accepted(_job_id(message.accepted.job_id))
        case "refused":
            refused = message.refused
            return m.Refused(
                _job_id(refused.job_id),
                _known(m.RefusalReason, refused.reason),
                safe(refused.detail, most=m.MAX_TEXT),
            )
        case "frame":
            return _frame_in(message.frame)
        case "capabilities":
            return m.Capabilities(_families_in(message.capabilities.families, "Capabilities"))
        case _:
            return None


def parse_from_agent(payload: bytes) -> m.FromAgent | None:
    """An agent's message from its bytes; None for one that this side does not know.

    Raises:
        ProtocolError: it is no message, or a value is out of the bounds of `messages`.
    """
    try:
        message = pb.AgentMessage.FromString(payload)
    except DecodeError as error:
        raise ProtocolError(str(error)) from error
    return decode_from_agent(message)


def frame_job(payload: bytes) -> m.JobId | None:
    """The job of a frame, read from the message's first bytes; None for another message.

    Encoders write fields by number, so `frame` stands first in the message, and `job_id` first in
    the frame (see `fleet.proto`).

    Raises:
        ProtocolError: it is a frame that does not begin with its job id.
    """
    if payload[:1] != _FRAME_TAG:
        return None
    _, at = _varint(payload, 1)
    if payload[at : at + 1] != _FIRST_TEXT_TAG:
        raise ProtocolError("Frame does not begin with its job_id")
    length, at = _varint(payload, at + 1)
    try:
        return _job_id(payload[at : at + min(length, m.MAX_IDENTIFIER + 1)].decode("ascii"))
    except UnicodeDecodeError:
        raise ProtocolError("job_id is not 1 to 64 of [A-Za-z0-9._-]") from None


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """A length on the wire (at most 5 bytes here), and where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(payload):
            break
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ProtocolError("a length that is none")


def encode_from_coordinator(message: m.FromCoordinator) -> pb.CoordinatorMessage:
    """A coordinator's message, ready to be sent."""
    match message:
        case m.Welcome():
            welcome = pb.Welcome(
                protocol_version=message.protocol_version,
                coordinator_id=message.coordinator_id,
                heartbeat_ms=message.heartbeat_ms,
                wanted_jobs=[_ack_out(ack) for ack in message.wanted_jobs],
            )
            return pb.CoordinatorMessage(welcome=welcome)
        case m.Heartbeat():
            return pb.CoordinatorMessage(heartbeat=pb.Heartbeat())
        case m.Job():
            job = pb.Job(
                job_id=message.job_id,
                target=message.target,
                packet_type=_PACKET_TYPES[message.packet_type],
                max_ttl=message.max_ttl,
                packets_per_ttl=message.packets_per_ttl,
                wait_ms=message.wait_ms,
                port=message.port,
                flow=message.flow,
                remaining_ms=message.remaining_ms,
                multipath=message.multipath,
                reply_to=message.reply_to,
            )
            return pb.CoordinatorMessage(job=job)
        case m.UnknownJob():
            raise ValueError("an unknown job is heard, never said")
        case m.Cancel():
            return pb.CoordinatorMessage(cancel=pb.Cancel(job_id=message.job_id))
        case m.Ack():
            return pb.CoordinatorMessage(ack=_ack_out(message))
        case _:
            assert_never(message)


def decode_from_coordinator(message: pb.CoordinatorMessage) -> m.FromCoordinator | None:
    """A coordinator's message; None for one that this side does not know.

    Raises:
        ProtocolError: a value is out of the bounds of `messages`.
    """
    match message.WhichOneof("message"):
        case "welcome":
            return _welcome_in(message.welcome)
        case "heartbeat":
            return m.Heartbeat()
        case "job":
            return _job_in(message.job)
        case "cancel":
            return m.Cancel(_job_id(message.cancel.job_id))
        case "ack":
            return _ack_in(message.ack)
        case _:
            return None


def _heartbeat_out(heartbeat: m.Heartbeat) -> pb.Heartbeat:
    counters = pb.Counters(**dataclasses.asdict(heartbeat.counters))
    return pb.Heartbeat(running_jobs=heartbeat.running_jobs, counters=counters)


def _heartbeat_in(heartbeat: pb.Heartbeat) -> m.Heartbeat:
    return m.Heartbeat(heartbeat.running_jobs, _counters_in(heartbeat.counters))


def _hello_out(hello: m.Hello) -> pb.Hello:
    return pb.Hello(
        protocol_version=hello.protocol_version,
        agent_id=hello.agent_id,
        boot_id=hello.boot_id,
        colo=hello.colo,
        city=hello.city,
        families=_families_out(hello.families),
        packet_types=[_PACKET_TYPES[kind] for kind in sorted(hello.packet_types)],
        software_version=hello.software_version,
        max_jobs=hello.max_jobs,
        held_jobs=hello.held_jobs,
    )


def _hello_in(hello: pb.Hello) -> m.Hello:
    if not is_identifier(hello.agent_id):
        raise ProtocolError("Hello.agent_id is not 1 to 64 of [A-Za-z0-9._-]")
    if not is_colo_name(hello.colo):
        raise ProtocolError("Hello.colo is not letters and a number, like den01")
    if len(hello.boot_id) != 16:
        raise ProtocolError("Hello.boot_id is not 16 bytes")
    if hello.protocol_version < 1:
        raise ProtocolError("Hello.protocol_version is missing")
    if len(hello.held_jobs) > m.MAX_HELD_JOBS:
        raise ProtocolError("Hello.held_jobs is too long")
    if len(hello.packet_types) > 64:
        raise ProtocolError("Hello names too many packet types")
    return m.Hello(
        agent_id=m.AgentId(hello.agent_id),
        boot_id=hello.boot_id,
        colo=m.ColoName(hello.colo),
        city=safe(hello.city, most=128),
        families=_families_in(hello.families, "Hello"),
        packet_types=frozenset(
            _PACKET_TYPE_WORDS[n] for n in hello.packet_types if n in _PACKET_TYPE_WORDS
        ),
        software_version=safe(hello.software_version, most=64),
        max_jobs=hello.max_jobs,
        # Only compared with ids of our own: 10,000 are not worth a look at each.
        held_jobs=tuple(m.JobId(job) for job in hello.held_jobs),
        protocol_version=hello.protocol_version,
    )


def _families_out(families: Iterable[m.Family]) -> "list[pb.AddressFamily.ValueType]":
    return [_FAMILIES[family] for family in sorted(families)]


def _families_in(numbers: Collection[int], where: str) -> frozenset[m.Family]:
    """The families among these numbers that are known here."""
    if len(numbers) > _MAX_FAMILIES:
        raise ProtocolError(f"{where} names too many families")
    return frozenset(_FAMILY_WORDS[n] for n in numbers if n in _FAMILY_WORDS)


def _welcome_in(welcome: pb.Welcome) -> m.Welcome:
    if len(welcome.coordinator_id) != 16:
        raise ProtocolError("Welcome.coordinator_id is not 16 bytes")
    if not 100 <= welcome.heartbeat_ms <= 600_000:
        raise ProtocolError("Welcome.heartbeat_ms is not within 100 to 600,000")
    if len(welcome.wanted_jobs) > m.MAX_HELD_JOBS:
        raise ProtocolError("Welcome.wanted_jobs is too long")
    return m.Welcome(
        coordinator_id=welcome.coordinator_id,
        heartbeat_ms=welcome.heartbeat_ms,
        wanted_jobs=tuple(_ack_in(ack) for ack in welcome.wanted_jobs),
        protocol_version=welcome.protocol_version,
    )


def _job_in(job: pb.Job) -> m.Job | m.UnknownJob:
    job_id, reply_to = _job_id(job.job_id), _address(job.reply_to)

    def unknown(detail: str) -> m.UnknownJob:
        return m.UnknownJob(job_id, detail, reply_to)

    packet_type = _PACKET_TYPE_WORDS.get(job.packet_type)
    if packet_type is None:
        return unknown(f"packet type number {job.packet_type} is not known here")
    if not 1 <= job.max_ttl <= m.MAX_TTL:
        return unknown(f"max_ttl {job.max_ttl} is not within 1 to {m.MAX_TTL}")
    if not 1 <= job.packets_per_ttl <= m.MAX_PACKETS_PER_TTL:
        detail = f"packets_per_ttl {job.packets_per_ttl} is not within 1 to {m.MAX_PACKETS_PER_TTL}"
        return unknown(detail)
    if not 1 <= job.wait_ms <= m.MAX_WAIT_MS:
        return unknown(f"wait_ms {job.wait_ms} is not within 1 to {m.MAX_WAIT_MS}")
    if job.port > 65_535:
        return unknown(f"port {job.port} is not within 0 to 65535")
    if not 1 <= len(job.target) <= m.MAX_TARGET:
        return unknown(f"target is not 1 to {m.MAX_TARGET} characters")
    return m.Job(
        job_id=job_id,
        target=job.target,
        packet_type=packet_type,
        max_ttl=job.max_ttl,
        packets_per_ttl=job.packets_per_ttl,
        wait_ms=job.wait_ms,
        port=job.port,
        flow=job.flow,
        remaining_ms=min(job.remaining_ms, m.MAX_REMAINING_MS),
        multipath=job.multipath,
        reply_to=reply_to,
    )


def _frame_out(frame: m.Frame) -> pb.Frame:
    replies = frame.replies
    out = pb.Frame(
        job_id=frame.job_id,
        sequence=frame.sequence,
        target_address=frame.target_address,
        sent=frame.sent,
        ttl=replies.ttl,
        rtt_ns=replies.rtt_ns,
        node=replies.node,
        nodes=[
            pb.Node(
                address=node.address,
                kind=pb.Node.Kind.ValueType(node.kind),
                labels=[label[: m.MAX_LABEL] for label in node.labels[: m.MAX_LABELS]],
            )
            for node in replies.nodes
        ],
    )
    if frame.outcome is not None:
        out.outcome.CopyFrom(_outcome_out(frame.outcome))
    return out


def _frame_in(frame: pb.Frame) -> m.Frame:
    if frame.sequence < 1:
        raise ProtocolError("Frame.sequence counts from 1")
    if len(frame.target_address) not in (0, 4, 16):
        raise ProtocolError("Frame.target_address is not 4 or 16 bytes")
    if len(frame.sent) > m.MAX_TTL or any(n > m.MAX_JOB_PROBES for n in frame.sent):
        raise ProtocolError("Frame.sent is out of bounds")
    return m.Frame(
        job_id=_job_id(frame.job_id),
        sequence=frame.sequence,
        target_address=frame.target_address,
        sent=tuple(frame.sent),
        replies=_replies_in(frame),
        outcome=_outcome_in(frame.outcome) if frame.HasField("outcome") else None,
    )


def _replies_in(frame: pb.Frame) -> m.Replies:
    count = len(frame.ttl)
    if count > m.MAX_JOB_PROBES or len(frame.nodes) > max(count, 1):
        raise ProtocolError("Frame has more lines than a job has probes")
    if len(frame.rtt_ns) != count or len(frame.node) != count:
        raise ProtocolError("Frame's columns are not of one length")
    ttl, rtt_ns, node = tuple(frame.ttl), tuple(frame.rtt_ns), tuple(frame.node)
    if not _within(ttl, 1, m.MAX_TTL):
        raise ProtocolError(f"Frame.ttl is not within 1 to {m.MAX_TTL}")
    if not _within(rtt_ns, 0, m.MAX_RTT_NS):
        raise ProtocolError("Frame.rtt_ns is out of bounds")
    if not _within(node, 0, len(frame.nodes) - 1):
        raise ProtocolError("Frame.node counts beyond Frame.nodes")
    return m.Replies(ttl, rtt_ns, node, tuple(_node_in(node) for node in frame.nodes))


def _node_in(node: pb.Node) -> m.Node:
    if len(node.address) not in (4, 16):
        raise ProtocolError("Node.address is not 4 or 16 bytes")
    return m.Node(
        address=node.address,
        kind=_known(m.NodeKind, node.kind),
        labels=_texts(node.labels, most=m.MAX_LABELS, length=m.MAX_LABEL),
    )


def _outcome_out(outcome: m.Outcome) -> pb.Outcome:
    return pb.Outcome(
        failure=pb.Outcome.Failure.ValueType(outcome.failure),
        detail=outcome.detail[: m.MAX_TEXT],
        duration_ns=outcome.duration_ns,
        notices=[notice[: m.MAX_TEXT] for notice in outcome.notices[: m.MAX_NOTICES]],
        duplicates=outcome.duplicates,
        late=outcome.late,
        foreign=outcome.foreign,
        ambiguous=outcome.ambiguous,
        unplaced=outcome.unplaced,
        links=[_link_out(link) for link in outcome.links[: m.MAX_LINKS]],
    )


def _outcome_in(outcome: pb.Outcome) -> m.Outcome:
    return m.Outcome(
        failure=_known(m.Failure, outcome.failure),
        detail=safe(outcome.detail, most=m.MAX_TEXT),
        duration_ns=outcome.duration_ns,
        notices=_texts(outcome.notices, most=m.MAX_NOTICES, length=m.MAX_TEXT),
        duplicates=outcome.duplicates,
        late=outcome.late,
        foreign=outcome.foreign,
        ambiguous=outcome.ambiguous,
        unplaced=outcome.unplaced,
        links=_links_in(outcome.links),
    )


def _counters_in(counters: pb.Counters) -> m.Counters:
    return m.Counters(
        **{field.name: getattr(counters, field.name) for field in dataclasses.fields(m.Counters)}
    )


def _link_out(link: m.Link) -> pb.Link:
    # `from` is a word of Python's own.
    return pb.Link(ttl=link.ttl, to=link.far, flows=link.flows, **{"from": link.near})


def _links_in(links: Sequence[pb.Link]) -> tuple[m.Link, ...]:
    if len(links) > m.MAX_LINKS:
        raise ProtocolError(f"Outcome.links is longer than {m.MAX_LINKS}")
    decoded = tuple(m.Link(link.ttl, getattr(link, "from"), link.to, link.flows) for link in links)
    for link in decoded:
        if not 1 <= link.ttl < m.MAX_TTL or {len(link.near), len(link.far)} - {4, 16}:
            raise ProtocolError("Link is out of bounds")
    return decoded


def _ack_out(ack: m.Ack) -> pb.Ack:
    return pb.Ack(job_id=ack.job_id, sequence=ack.sequence)


def _ack_in(ack: pb.Ack) -> m.Ack:
    return m.Ack(_job_id(ack.job_id), ack.sequence)


def _job_id(text: str) -> m.JobId:
    if not is_identifier(text):
        raise ProtocolError("job_id is not 1 to 64 of [A-Za-z0-9._-]")
    return m.JobId(text)


def _address(text: str) -> str:
    if text and not is_address(text):
        raise ProtocolError("Job.reply_to is not HOST:PORT")
    return text


def _known(kind: type[_E], number: int) -> _E:
    try:
        return kind(number)
    except ValueError:
        return kind(0)


def _texts(texts: Sequence[str], *, most: int, length: int) -> tuple[str, ...]:
    if len(texts) > most:
        raise ProtocolError(f"more than {most} texts in one message")
    return tuple(safe(text, most=length) for text in texts)


def _within(column: Iterable[int], low: int, high: int) -> bool:
    return all(low <= number <= high for number in column)
