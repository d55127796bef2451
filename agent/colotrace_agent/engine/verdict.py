"""What an answer says about the path: a hop on the way, the target, or an end before it.

It follows from the kind of packet and the quoted probe, not from the sender's address alone: a
target behind address translation may well send time-exceeded from its own address.
"""

from typing import NamedTuple

from colotrace_proto.messages import Family, NodeKind

from colotrace_agent import labels
from colotrace_agent.model import AnswerKind, Flow, Heard
from colotrace_agent.packets.formats import FORMATS, keys_of

from .rules import DOUBTFUL, port_unreachable_kind

PORT_UNREACHABLE = {Family.IPV4: 3, Family.IPV6: 4}
"""The code of "port unreachable"."""
_IPV4_PROTOCOL_UNREACHABLE = 2
_IPV4_FRAGMENTATION_NEEDED = 4
_IPV6_UNKNOWN_NEXT_HEADER = 1
_IPV6_NEXT_HEADER = 6  # where our header says what follows: RFC 8200 section 3


class Meaning(NamedTuple):
    """What an answer says about the path.

    `doubtful`: it is a refusal that may be the target's, which only the whole trace shows (see
    `refusals`); `kind` is then that of a router's. `by_own_host`: the host's own kernel refused the
    probe, since no neighbour answered or its route is gone. `ttl_left` is the TTL that the probe
    still had beyond what it needed, as quoted.
    """

    kind: NodeKind
    labels: tuple[str, ...]
    doubtful: bool
    by_own_host: bool
    ttl_left: int

    @property
    def stored_kind(self) -> int:
        """A value of `NodeKind`, or `DOUBTFUL`."""
        return DOUBTFUL if self.doubtful else self.kind


def judge(heard: Heard, flow: Flow) -> Meaning:
    """The meaning of an answer to one of the flow's probes."""
    kind, annotations = _kind_and_labels(heard, flow)
    is_refusal = kind is NodeKind.BARRIER
    by_own_host = is_refusal and heard.responder == flow.source != flow.target
    doubtful = is_refusal and _is_doubtful(heard, flow)
    if _is_translated(heard, flow):
        annotations = (*annotations, labels.NAT)
    annotations += heard.labels
    ttl_left = heard.quoted_ttl - 1 if heard.quoted_ttl else 0
    return Meaning(kind, annotations, doubtful, by_own_host, ttl_left)


def _kind_and_labels(heard: Heard, flow: Flow) -> tuple[NodeKind, tuple[str, ...]]:
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


def _is_doubtful(heard: Heard, flow: Flow) -> bool:
    """Whether a refusal from another address than the target's may still be the target's.

    A host answers "port unreachable" from any of its addresses, as routers do when they are the
    target. Firewalls on the way send the same from theirs (the default of Linux's REJECT). Echo
    requests and GRE have no port: only a firewall sends it for them.
    """
    if heard.kind is not AnswerKind.UNREACHABLE or heard.code != PORT_UNREACHABLE[flow.family]:
        return False
    from_target = heard.responder == flow.target
    has_ports = FORMATS[flow.packet_type].ports is not None
    return has_ports and port_unreachable_kind(from_target) == DOUBTFUL


def _is_translated(heard: Heard, flow: Flow) -> bool:
    """Whether the quoted probe was changed by a translator on its way."""
    if heard.source is None:  # nothing is quoted
        return False
    if heard.source != flow.source:
        return True
    return heard.key != flow.key and heard.key not in keys_of(flow.key)


def refusal_label(family: Family) -> str:
    """What annotates "port unreachable" from a node that is not the target."""
    return labels.unreachable(PORT_UNREACHABLE[family], family)


def _unreachable(heard: Heard, flow: Flow) -> tuple[NodeKind, tuple[str, ...]]:
    from_target = heard.responder == flow.target
    ipv4 = flow.family is Family.IPV4
    if heard.code == PORT_UNREACHABLE[flow.family]:
        if from_target:
            return NodeKind.TARGET, ()
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
