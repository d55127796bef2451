"""What an answer says about the path: a hop on the way, the target, or an end before it.

It follows from the kind of packet and the quoted probe, not from the sender's address alone: a
target behind address translation may well send time-exceeded from its own address.
"""

from colotrace_proto.messages import Family, NodeKind

from colotrace_agent import labels
from colotrace_agent.model import AnswerKind, Flow, Heard, has_ports

PORT_UNREACHABLE = {Family.IPV4: 3, Family.IPV6: 4}
"""The code of "port unreachable"."""
_IPV4_PROTOCOL_UNREACHABLE = 2
_IPV4_FRAGMENTATION_NEEDED = 4
_IPV6_UNKNOWN_NEXT_HEADER = 1
_IPV6_NEXT_HEADER = 6  # where our header says what follows: RFC 8200 section 3


def judge(heard: Heard, flow: Flow) -> tuple[NodeKind, tuple[str, ...]]:
    """The answer's meaning and the annotations that stand behind it."""
    match heard.kind:
        case AnswerKind.TIME_EXCEEDED:
            return NodeKind.TRANSIT, ()
        case AnswerKind.ECHO_REPLY | AnswerKind.TCP | AnswerKind.CHALLENGE | AnswerKind.DATAGRAM:
            return NodeKind.TARGET, ()
        case AnswerKind.TOO_BIG:
            return NodeKind.BARRIER, (labels.too_big(heard.info),)
        case AnswerKind.PARAMETER:
            return _parameter_problem(heard, flow)
        case AnswerKind.UNREACHABLE:
            return _unreachable(heard, flow)


def may_be_target(heard: Heard, flow: Flow) -> bool:
    """Whether a refusal from another address than the target's may still be the target's.

    A host answers "port unreachable" from any of its addresses, as routers do when they are the
    target. Firewalls on the way say the same from theirs (the default of Linux's REJECT). Only the
    whole trace shows which it is: see `refusals`. Echo requests and GRE have no port: only a
    firewall says so of them.
    """
    return (
        heard.kind is AnswerKind.UNREACHABLE
        and heard.code == PORT_UNREACHABLE[flow.family]
        and has_ports(flow.packet_type)
        and heard.responder != flow.target
    )


def is_own_refusal(heard: Heard, flow: Flow, kind: NodeKind) -> bool:
    """Whether the host's own kernel refused the probe: no neighbour answered, or its route is
    gone. `kind` is what the answer was judged."""
    return kind is NodeKind.BARRIER and heard.responder == flow.source != flow.target


def refusal_label(family: Family) -> str:
    """What annotates "port unreachable" from a node that is not the target."""
    return labels.unreachable(PORT_UNREACHABLE[family], family)


def _unreachable(heard: Heard, flow: Flow) -> tuple[NodeKind, tuple[str, ...]]:
    from_target = heard.responder == flow.target
    ipv4 = flow.family is Family.IPV4
    if heard.code == PORT_UNREACHABLE[flow.family]:
        if from_target:
            return NodeKind.TARGET, ()
        # Until the trace has ended: see `may_be_target`.
        return NodeKind.BARRIER, (refusal_label(flow.family),)
    if ipv4 and heard.code == _IPV4_PROTOCOL_UNREACHABLE:
        return _unknown_protocol(heard, flow)
    if ipv4 and heard.code == _IPV4_FRAGMENTATION_NEEDED:
        return NodeKind.BARRIER, (labels.too_big(heard.info),)
    label = labels.unreachable(heard.code, flow.family)
    # A host whose own firewall forbids the probe was reached all the same.
    kind = NodeKind.TARGET if from_target and label == labels.PROHIBITED else NodeKind.BARRIER
    return kind, (label,)


def _parameter_problem(heard: Heard, flow: Flow) -> tuple[NodeKind, tuple[str, ...]]:
    unknown_header = heard.code == _IPV6_UNKNOWN_NEXT_HEADER and heard.info == _IPV6_NEXT_HEADER
    if flow.family is Family.IPV6 and unknown_header:
        return _unknown_protocol(heard, flow)
    return NodeKind.BARRIER, (labels.PARAMETER_PROBLEM,)


def _unknown_protocol(heard: Heard, flow: Flow) -> tuple[NodeKind, tuple[str, ...]]:
    # Only a packet's destination looks at the payload's protocol (RFC 8200 section 4); from
    # another address it is a filter's way to refuse.
    if heard.responder == flow.target:
        return NodeKind.TARGET, ()
    return NodeKind.BARRIER, (labels.PARAMETER_PROBLEM,)
