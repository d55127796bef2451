"""Flows for tests, with keyed fields as the allocator draws them, and answers to their probes."""

import errno
from collections.abc import Callable

from colotrace_agent.engine.trace import Trace
from colotrace_agent.marks import Marks
from colotrace_agent.model import AnswerKind, Flow, Heard
from colotrace_agent.packets.formats import FORMATS
from colotrace_proto.messages import MAX_PROBES, PacketType

TYPES = list(FORMATS)

SECRET = bytes(range(32))
SOURCE, TARGET, ROUTER = bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9]), bytes([198, 18, 1, 1])


def marks(context: bytes = b"", *, probes: int = MAX_PROBES) -> Marks:
    """Keyed fields of a flow."""
    return Marks.draw(SECRET, context, probes=probes)


def flow(
    packet_type: PacketType,
    *,
    source: bytes = SOURCE,
    target: bytes = TARGET,
    identifier: int = 20_001,
    first_number: int = 4_000,
    context: bytes = b"",
) -> Flow:
    """A flow to the target."""
    port = 33_434 if packet_type in (PacketType.UDP, PacketType.TCP) else 0
    return Flow(packet_type, source, target, identifier, port, first_number, marks(context))


def router(ttl: int) -> bytes:
    """The address of the router at that TTL."""
    return bytes([198, 18, ttl, 1])


def answer(
    flow: Flow,
    ordinal: int,
    kind: AnswerKind = AnswerKind.TIME_EXCEEDED,
    *,
    responder: bytes = ROUTER,
    code: int = 0,
    quoted_ttl: int | None = None,
) -> Heard:
    """An ICMP error that quotes the whole probe, or the target's echo reply."""
    tag = flow.marks.tag(ordinal)
    if kind is AnswerKind.ECHO_REPLY:
        return Heard(kind, flow.target, flow.key, None, tag=tag)
    return Heard(
        kind, responder, flow.key, None, tag=tag, source=flow.source, code=code,
        quoted_ttl=quoted_ttl,
    )  # fmt: skip


def send_all(
    trace: Trace,
    *,
    at: int,
    stamped: bool = False,
    fails: Callable[[int, int], bool] = lambda _ordinal, _ttl: False,
) -> list[tuple[int, int]]:
    """Send all probes that are due; their ordinals and TTLs. `fails` chooses, by these, the probes
    that the kernel refuses."""
    probes = []
    while trace.unsent:
        ordinal, ttl = trace.take()
        probes.append((ordinal, ttl))
        if fails(ordinal, ttl):
            trace.probe_failed(ordinal, errno.EPERM)
            continue
        trace.probe_sent(ordinal, at)
        if stamped:
            trace.probe_departed(ordinal, at)
    return probes
