"""Frames: a job's replies in columns, and its outcome."""

from collections.abc import Sequence
from functools import lru_cache

from colotrace_proto import messages as m
from colotrace_proto.text import safe
from colotrace_proto.v1 import fleet_pb2 as pb

from .checks import (
    PACKET_TYPES,
    PACKET_TYPES_IN,
    ProtocolError,
    are_addresses,
    fields_of,
    job_id,
    known,
    parsed,
)
from .notices import notice_in, notice_out, notices_in, notices_out, text_of

# The tag of a length-delimited field: its number, and wire type 2.
_FRAME_TAG = bytes([pb.AgentMessage.FRAME_FIELD_NUMBER << 3 | 2])
_JOB_ID_TAG = bytes([pb.Frame.JOB_ID_FIELD_NUMBER << 3 | 2])
_MAX_VARINT = 5
"""Bytes of a length."""
_SHORT_NODE = 64
"""Bytes of an encoded node that is remembered: enough for an address with a few labels."""
_ADDRESS_OR_NONE = (0, 4, 16)
"""Lengths of an address that may be unknown."""


def frame_job(payload: bytes) -> m.JobId | None:
    """The job of a frame, read from the message's first bytes; None for another message.

    Encoders write fields by number, so `frame` stands first in the message, and `job_id` first in
    the frame (see `fleet.proto`).

    Raises:
        ProtocolError: the frame does not begin with its job id.
    """
    if payload[:1] != _FRAME_TAG:
        return None
    _, at = _varint(payload, 1)
    if payload[at : at + 1] != _JOB_ID_TAG:
        raise ProtocolError("Frame does not begin with its job_id")
    length, at = _varint(payload, at + 1)
    try:
        return job_id(payload[at : at + min(length, m.MAX_IDENTIFIER + 1)].decode("ascii"))
    except UnicodeDecodeError:
        raise ProtocolError("job_id is not 1 to 64 of [A-Za-z0-9._-]") from None


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """The length at that offset, and the offset behind it."""
    value = 0
    for place, byte in enumerate(payload[at : at + _MAX_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ProtocolError("a length is not a varint of 1 to 5 bytes")


def frame_out(frame: m.Frame) -> pb.Frame:
    replies = frame.replies
    return pb.Frame(
        job_id=frame.job_id,
        sequence=frame.sequence,
        target_address=frame.target_address,
        sent=frame.sent,
        ttl=replies.ttl,
        rtt_ns=replies.rtt_ns,
        node=replies.node,
        nodes=[_node_out(node) for node in replies.nodes],
        outcome=None if frame.outcome is None else _outcome_out(frame.outcome),
        ordinal=replies.ordinal,
        flow=replies.flow if any(replies.flow) else (),
        flows=[_flow_out(flow) for flow in frame.flows],
        source_address=frame.source_address,
    )


def frame_in(frame: pb.Frame) -> m.Frame:
    if frame.sequence < 1:
        raise ProtocolError("Frame.sequence counts from 1")
    target_address, source_address = frame.target_address, frame.source_address
    if len(target_address) not in _ADDRESS_OR_NONE:
        raise ProtocolError("Frame.target_address is not 4 or 16 bytes")
    if len(source_address) not in _ADDRESS_OR_NONE:
        raise ProtocolError("Frame.source_address is not 4 or 16 bytes")
    if len(frame.flows) > m.MAX_JOB_PROBES:
        raise ProtocolError("Frame has more flows than a job has probes")
    sent = tuple(frame.sent)
    if len(sent) > m.MAX_TTL or max(sent, default=0) > m.MAX_JOB_PROBES:
        raise ProtocolError("Frame.sent is out of bounds")
    return m.Frame(
        job_id=job_id(frame.job_id),
        sequence=frame.sequence,
        target_address=target_address,
        sent=sent,
        replies=_replies_in(frame),
        outcome=_outcome_in(frame.outcome) if frame.HasField("outcome") else None,
        source_address=source_address,
        flows=tuple(map(_flow_in, frame.flows)) if frame.flows else (),
    )


def _replies_in(frame: pb.Frame) -> m.Replies:
    # All columns are unsigned, so their lower bound is 0.
    ttl, rtt_ns, node = tuple(frame.ttl), tuple(frame.rtt_ns), tuple(frame.node)
    count, nodes = len(ttl), len(frame.nodes)
    if count > m.MAX_JOB_PROBES or nodes > max(count, 1):
        raise ProtocolError("Frame has more lines than a job has probes")
    if len(rtt_ns) != count or len(node) != count:
        raise ProtocolError("Frame's columns are not of one length")
    if count and (max(ttl) > m.MAX_TTL or 0 in ttl):
        raise ProtocolError(f"Frame.ttl is not within 1 to {m.MAX_TTL}")
    if count and max(rtt_ns) > m.MAX_RTT_NS:
        raise ProtocolError("Frame.rtt_ns is out of bounds")
    if count and max(node) >= nodes:
        raise ProtocolError("Frame.node counts beyond Frame.nodes")
    ordinal, flow = _probes_in(frame, count)
    return m.Replies(ttl, rtt_ns, node, tuple(map(_node_in, frame.nodes)), ordinal, flow)


def _probes_in(frame: pb.Frame, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The columns `ordinal` and `flow`. Both are empty from an agent of release 0.2."""
    ordinal, flow = tuple(frame.ordinal), tuple(frame.flow)
    if not ordinal and not flow:
        return (), ()
    if len(ordinal) != count or len(flow) not in (0, count):
        raise ProtocolError("Frame's columns are not of one length")
    if max(ordinal) >= m.MAX_PROBES:
        raise ProtocolError("Frame.ordinal counts beyond the probes of a flow")
    if flow and max(flow) >= m.MAX_JOB_PROBES:
        raise ProtocolError("Frame.flow counts beyond the flows of a job")
    return ordinal, flow or (0,) * count


def _flow_out(flow: m.FlowFields) -> pb.Flow:
    packet_type = pb.PACKET_TYPE_UNSPECIFIED
    if flow.packet_type is not None:
        packet_type = PACKET_TYPES[flow.packet_type]
    return pb.Flow(**fields_of(flow, packet_type=packet_type))


def _flow_in(flow: pb.Flow) -> m.FlowFields:
    if max(flow.source_port, flow.destination_port) > m.MAX_PORT:
        raise ProtocolError("Flow has a port beyond 65535")
    if flow.flow_label > m.MAX_FLOW_LABEL:
        raise ProtocolError("Flow.flow_label has more than 20 bits")
    return m.FlowFields(
        packet_type=PACKET_TYPES_IN.get(flow.packet_type),
        number=flow.number,
        source_port=flow.source_port,
        destination_port=flow.destination_port,
        identifier=flow.identifier,
        flow_label=flow.flow_label,
    )


def _node_out(node: m.Node) -> bytes:
    labels = [label[: m.MAX_LABEL] for label in node.labels[: m.MAX_LABELS]]
    wire = pb.Node(address=node.address, kind=pb.Node.Kind.ValueType(node.kind), labels=labels)
    return wire.SerializeToString()


def _node_in(payload: bytes) -> m.Node:
    return _remembered_node(payload) if len(payload) <= _SHORT_NODE else _node(payload)


@lru_cache(maxsize=1 << 16)
def _remembered_node(payload: bytes) -> m.Node:
    """See `_node`. The same routers answer in frame after frame."""
    return _node(payload)


def _node(payload: bytes) -> m.Node:
    node = parsed(pb.Node, payload)
    if len(node.address) not in (4, 16):
        raise ProtocolError("Node.address is not 4 or 16 bytes")
    if len(node.labels) > m.MAX_LABELS:
        raise ProtocolError(f"Node.labels is longer than {m.MAX_LABELS}")
    labels = tuple(safe(label, most=m.MAX_LABEL) for label in node.labels)
    return m.Node(node.address, known(m.NodeKind, node.kind), labels)


def _outcome_out(outcome: m.Outcome) -> pb.Outcome:
    remarks, notices = notices_out(outcome.notices)
    converted = fields_of(
        outcome,
        detail=text_of(outcome.cause),
        cause=notice_out(outcome.cause),
        notices=notices,
        remarks=remarks,
        links=[_link_out(link) for link in outcome.links[: m.MAX_LINKS]],
    )
    return pb.Outcome(**converted)


def _outcome_in(outcome: pb.Outcome) -> m.Outcome:
    cause = outcome.cause if outcome.HasField("cause") else None
    return m.Outcome(
        failure=known(m.Failure, outcome.failure),
        cause=notice_in(cause, text=outcome.detail),
        duration_ns=outcome.duration_ns,
        notices=notices_in(outcome.remarks, outcome.notices),
        duplicates=outcome.duplicates,
        late=outcome.late,
        foreign=outcome.foreign,
        ambiguous=outcome.ambiguous,
        unplaced=outcome.unplaced,
        links=_links_in(outcome.links) if outcome.links else (),
    )


def _link_out(link: m.Edge) -> pb.Link:
    # `from` is a keyword of Python.
    return pb.Link(ttl=link.ttl, to=link.far, flows=link.flows, **{"from": link.near})


def _links_in(links: Sequence[pb.Link]) -> tuple[m.Edge, ...]:
    if len(links) > m.MAX_LINKS:
        raise ProtocolError(f"Outcome.links is longer than {m.MAX_LINKS}")
    decoded = tuple(m.Edge(link.ttl, getattr(link, "from"), link.to, link.flows) for link in links)
    for link in decoded:
        if not 1 <= link.ttl < m.MAX_TTL or not are_addresses((link.near, link.far)):
            raise ProtocolError("Link is out of bounds")
    return decoded
