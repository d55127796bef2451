"""Whose fault it is that something is missing."""

from colotrace_agent.engine.limits.routers import Routers
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import AnswerKind, Heard, TraceSpec
from colotrace_proto.messages import PacketType
from colotrace_proto.notices import Notice, NoticeCode
from unit.agent.made import TARGET, answer, flow, send_all

START, MS = 1_000_000_000, 1_000_000


def traced(
    answered: dict[int, int],
    *,
    packets: int = 3,
    stamped: bool = True,
    packet_type: PacketType = PacketType.ICMP,
) -> Trace:
    """A trace of three TTLs, of which so many probes were answered at each."""
    trace = Trace(
        TraceSpec(TARGET, packet_type, max_ttl=3, packets_per_ttl=packets),
        flow(packet_type),
        now=START,
    )
    send_all(trace, at=START, stamped=stamped)
    for ttl, count in answered.items():
        for ordinal in range((ttl - 1) * packets, (ttl - 1) * packets + count):
            trace.heard(answer(trace.flow, ordinal), at=START + MS, read_at=START + MS)
    trace.caveats.limiting = Routers().judge(
        trace.path, trace.sent[: trace.end_ttl], trace.answers[: trace.end_ttl],
        target=TARGET, started=START, now=START + MS,
    )  # fmt: skip
    return trace


def test_trace_without_faults_has_no_notices() -> None:
    """Nor has one with a silent hop, which may never answer."""
    assert traced({1: 3, 2: 3, 3: 3}).notices == ()
    assert traced({1: 3, 2: 0, 3: 3}).notices == ()


def test_loss_at_a_hop_before_a_hop_without_loss_is_a_rate_limit() -> None:
    """Loss on the way would affect every hop beyond."""
    (notice,) = traced({1: 2, 2: 3, 3: 10}, packets=10).notices
    assert notice == Notice(NoticeCode.HOPS_LIMIT, ttls=(1, 2))
    assert traced({1: 2, 2: 3, 3: 9}, packets=10).notices == ()


def test_single_loss_is_no_rate_limit() -> None:
    """A single answer may have been lost on its way."""
    assert traced({1: 2, 2: 3, 3: 3}).notices == ()


def test_faults_of_the_host_are_notices() -> None:
    """They are not the network's."""
    trace = traced({1: 3, 2: 3, 3: 2}, stamped=False)
    trace.caveats.overflows = 4
    trace.caveats.clock_stepped = trace.caveats.detour = True
    assert trace.notices == (
        Notice(NoticeCode.QUEUE_OVERFLOW, count=4),
        Notice(NoticeCode.UNSTAMPED_PROBES, count=8),
        Notice(NoticeCode.CLOCK_STEPPED),
        Notice(NoticeCode.DETOUR),
    )


def test_answers_without_a_probe_are_a_notice() -> None:
    """The target is up, at an unknown TTL."""
    trace = traced({1: 3}, packet_type=PacketType.UDP)
    datagram = Heard(AnswerKind.DATAGRAM, TARGET, trace.flow.key, None)
    trace.heard(datagram, at=START + MS, read_at=START + MS)
    assert trace.notices == (Notice(NoticeCode.UNPLACED_ANSWERS, count=1),)
