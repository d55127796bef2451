"""One trace's decisions: what is due, what counts, when it ends."""

import errno
from dataclasses import replace

import pytest
from colotrace_agent.engine.rules import answer_bounds
from colotrace_agent.engine.trace import Trace
from colotrace_agent.engine.verdict import judge
from colotrace_agent.model import AnswerKind, Heard, TraceSpec
from colotrace_proto.messages import NodeKind, PacketType
from unit.agent.made import SOURCE, TARGET, answer, flow, router, send_all

MS, SECOND = 1_000_000, 1_000_000_000
START = 7 * SECOND
READ_MS = 2  # the earliest that the agent gets to what has arrived
FLOW = flow(PacketType.ICMP)


class Driven:
    """A trace and the few words that drive it in a test."""

    def __init__(self, *, max_ttl: int = 5, packets: int = 1, wait_s: int = 1) -> None:
        spec = TraceSpec(TARGET, max_ttl=max_ttl, packets_per_ttl=packets, wait_ns=wait_s * SECOND)
        self.trace = Trace(spec, FLOW, now=START)

    def send_all(self, *, at: int = START) -> list[int]:
        """Send what is due; the TTLs in the order they left."""
        return [ttl for _, ttl in send_all(self.trace, at=at)]

    def hear(
        self,
        index: int,
        rtt_ms: float,
        kind: AnswerKind = AnswerKind.TIME_EXCEEDED,
        *,
        code: int = 0,
        responder: bytes | None = None,
        quoted_ttl: int | None = None,
    ) -> bool:
        """An answer to that probe; whether it counted."""
        ttl = index // self.trace.spec.packets_per_ttl + 1
        who = responder or router(ttl)
        heard = answer(FLOW, index, kind, responder=who, code=code, quoted_ttl=quoted_ttl)
        at = START + round(rtt_ms * MS)
        return self.trace.heard(heard, at=at, read_at=max(at, START + READ_MS * MS)) is not None

    def ends_after_ms(self) -> float:
        """When it closes, from its start."""
        closes_at = self.trace.closes_at()
        assert closes_at is not None
        assert not self.trace.expire(closes_at - 1)
        assert self.trace.expire(closes_at)
        return (closes_at - START) / MS


def test_probes_are_sent_in_ascending_ttl() -> None:
    """A target that limits its answers answers the lowest TTL that reaches it."""
    assert Driven(max_ttl=3, packets=2).send_all() == [1, 1, 2, 2, 3, 3]


def test_round_has_one_probe_of_every_ttl() -> None:
    """In every round it skips TTLs beyond the target or beyond its expected distance."""
    spec = TraceSpec(TARGET, max_ttl=4, packets_per_ttl=3, rounds=True)
    trace = Trace(spec, FLOW, now=START, expected_ttl=3)
    order = []
    while trace.unsent:
        index, ttl = trace.take()
        trace.probe_sent(index, START)
        order.append(ttl)
        if len(order) == 7:  # the first probe of TTL 2 has reached the target
            heard = Heard(AnswerKind.ECHO_REPLY, TARGET, FLOW.key, None, tag=FLOW.marks.tag(1))
            assert trace.heard(heard, at=START, read_at=START) is not None
    assert order[:4] == [1, 2, 3, 4]
    assert (sorted(order[4:7]), sorted(order[7:])) == ([1, 2, 3], [1, 2])
    assert trace.sent == [3, 3, 2, 1]


def test_order_of_later_rounds_depends_on_the_flow() -> None:
    """So that flows do not meet a balancer by packet in step."""
    spec = TraceSpec(TARGET, max_ttl=15, packets_per_ttl=2, rounds=True)
    orders = set()
    for identifier in range(20):
        trace = Trace(spec, replace(FLOW, identifier=identifier), now=START)
        order = tuple(trace.take()[1] for _ in range(30))
        assert order[:15] == tuple(range(1, 16))
        assert set(order[15:]) == set(order[:15])
        orders.add(order)
    assert len(orders) == 20


def test_nothing_is_sent_beyond_the_target() -> None:
    """Once it has answered, the rest of its own TTL is the last."""
    driven = Driven(max_ttl=5, packets=3)
    for _ in range(7):
        index, _ = driven.trace.take()
        driven.trace.probe_sent(index, START)
    driven.hear(6, 10, AnswerKind.ECHO_REPLY)
    assert driven.send_all() == [3, 3]
    assert driven.trace.sent == [3, 3, 3, 0, 0]


def test_one_probe_for_each_ttl_beyond_the_expected_distance() -> None:
    """The target may have moved further away."""
    trace = Trace(TraceSpec(TARGET, max_ttl=5), FLOW, now=START, expected_ttl=2)
    ttls = []
    while trace.unsent:
        index, ttl = trace.take()
        trace.probe_sent(index, START)
        ttls.append(ttl)
    assert ttls == [1, 1, 1, 2, 2, 2, 3, 4, 5]


def test_quoted_ttl_shows_the_distance_of_the_target() -> None:
    """A port unreachable quotes the TTL with which the probe arrived."""
    driven = Driven(max_ttl=9, packets=2)
    for _ in range(12):
        index, _ = driven.trace.take()
        driven.trace.probe_sent(index, START)
    # TTL 6 arrived with 3: TTL 4 would have been enough, but may have been lost.
    driven.hear(11, 10, AnswerKind.ECHO_REPLY, quoted_ttl=3)
    assert driven.trace.end_ttl == 6
    assert driven.send_all() == []


def test_lowest_ttl_that_the_target_answered_ends_the_path() -> None:
    """Whichever answer came first."""
    driven = Driven()
    driven.send_all()
    for index in (4, 2, 3):
        assert driven.hear(index, 10, AnswerKind.ECHO_REPLY)
    assert driven.trace.reached
    assert driven.trace.end_ttl == 3


def test_trace_ends_when_all_have_answered() -> None:
    """It does not wait for probes beyond the target."""
    driven = Driven()
    driven.send_all()
    driven.hear(0, 1)
    driven.hear(1, 2)
    assert not driven.trace.expire(START + 10 * MS)
    driven.hear(2, 20, AnswerKind.ECHO_REPLY)
    assert driven.trace.expire(START + 20 * MS)
    assert driven.trace.ended == START + 20 * MS


def test_trace_without_answers_waits_the_whole_time() -> None:
    """There is no RTT to go by."""
    driven = Driven(wait_s=2)
    driven.send_all()
    assert driven.ends_after_ms() == 2_000


@pytest.mark.parametrize(
    ("rtt_ms", "wait_s", "ends_ms"),
    [
        # Ten times the next hop's, or a quarter of the wait at the least …
        (5, 1, 250),
        (60, 1, 600),
        (60, 5, 1_250),
        (200, 5, 2_000),
        # … and never more than the wait.
        (200, 1, 1_000),
    ],
)
def test_silent_hop_before_others_has_a_shorter_wait(
    rtt_ms: float, wait_s: int, ends_ms: float
) -> None:
    """By the RTTs of hops beyond it."""
    driven = Driven(wait_s=wait_s)
    driven.send_all()
    driven.hear(1, rtt_ms, AnswerKind.ECHO_REPLY)
    assert driven.ends_after_ms() == ends_ms


@pytest.mark.parametrize(("rtt_ms", "ends_ms"), [(5, 250), (150, 450), (400, 1_000)])
def test_lost_answer_is_waited_for_by_the_rtt_of_its_hop(rtt_ms: float, ends_ms: float) -> None:
    """Three times that."""
    driven = Driven(max_ttl=1, packets=2)
    driven.send_all()
    driven.hear(0, rtt_ms)
    assert driven.ends_after_ms() == ends_ms


def test_second_answer_is_a_duplicate() -> None:
    """The first counts."""
    driven = Driven()
    driven.send_all()
    assert driven.hear(0, 1)
    assert not driven.hear(0, 2)
    assert driven.trace.counters.duplicates == 1
    assert [reply.rtt_ns for reply in driven.trace.replies] == [MS]


def test_answer_before_the_end_always_counts() -> None:
    """However long it took. After the end it is late and not in the row."""
    driven = Driven()
    driven.send_all()
    assert driven.hear(0, 1_000)
    assert driven.hear(1, 1_000.001)
    driven.trace.stop(driven.trace.started + 2_000 * MS)
    assert not driven.hear(2, 2_000.001)
    assert driven.trace.counters.late == 1
    assert len(driven.trace.replies) == 2


def test_answer_to_a_probe_that_was_not_sent_is_foreign() -> None:
    """Not taken yet, or refused by the kernel."""
    driven = Driven()
    index, _ = driven.trace.take()
    driven.trace.probe_failed(index, errno.EPERM)
    assert not driven.hear(index, 1)
    assert not driven.hear(1, 1)
    assert driven.trace.counters.foreign == 2


def test_answer_stamped_before_its_probe_is_timed_by_its_reading() -> None:
    """An RTT is never negative, and the trace reports the step of the clock."""
    driven = Driven()
    driven.send_all()
    assert driven.hear(0, -3)
    assert driven.trace.replies[0].rtt_ns == READ_MS * MS
    assert driven.trace.caveats.clock_stepped


def test_rtt_begins_at_the_kernels_stamp() -> None:
    """A batch is handed over at once, and leaves packet by packet."""
    driven = Driven()
    driven.send_all()
    driven.trace.probe_departed(0, START + MS)
    driven.trace.probe_departed(1, None)
    assert driven.hear(0, 5)
    assert driven.hear(1, 5)
    assert [reply.rtt_ns for reply in driven.trace.replies] == [4 * MS, 5 * MS]
    assert (driven.trace.caveats.unstamped, driven.trace.caveats.clock_stepped) == (1, True)


def test_translated_source_is_annotated() -> None:
    """The quoted source is not the one that the probe left with."""
    driven = Driven()
    driven.send_all()
    tag = FLOW.marks.tag(0)
    heard = Heard(
        AnswerKind.TIME_EXCEEDED, router(1), FLOW.key, None, tag=tag, source=bytes(4), labels=("x",)
    )
    reply = driven.trace.heard(heard, at=START + MS, read_at=START + MS)
    assert reply is not None
    assert reply.labels == ("NAT", "x")


def test_failed_probe_is_neither_sent_nor_waited_for() -> None:
    """It is the host's fault, counted by errno."""
    driven = Driven(max_ttl=2)
    for error in (errno.EPERM, errno.ENOBUFS):
        index, _ = driven.trace.take()
        driven.trace.probe_failed(index, error)
    assert driven.trace.sent == [0, 0]
    assert driven.trace.caveats.send_errors == {errno.EPERM: 1, errno.ENOBUFS: 1}
    assert driven.trace.expire(START)


def test_unreachable_from_the_own_host_is_a_failed_send() -> None:
    """The next hop did not answer: nothing left the host."""
    driven = Driven(max_ttl=1)
    driven.send_all()
    assert not driven.hear(0, 1, AnswerKind.UNREACHABLE, code=1, responder=SOURCE)
    assert driven.trace.sent == [0]
    assert driven.trace.caveats.send_errors == {errno.EHOSTUNREACH: 1}
    assert driven.trace.counters.foreign == 0


def test_refusal_ends_the_path_once_the_rest_is_settled() -> None:
    """Each TTL beyond it has one probe only, which may still pass."""
    driven = Driven(packets=2)
    for _ in range(5):
        index, _ = driven.trace.take()
        driven.trace.probe_sent(index, START)
    driven.hear(2, 20, AnswerKind.UNREACHABLE, code=13)
    assert driven.send_all() == [4, 5]
    for index, rtt_ms in ((0, 1), (1, 1), (3, 20)):
        driven.hear(index, rtt_ms)
    assert not driven.trace.reached
    assert driven.trace.end_ttl == 2
    # A quarter second for those beyond, from which nothing has come.
    assert driven.ends_after_ms() == 250


def test_refusal_does_not_hide_a_target_that_answers() -> None:
    """The target is the end, however much later it answers."""
    driven = Driven()
    driven.send_all()
    driven.hear(0, 1)
    driven.hear(1, 5, AnswerKind.UNREACHABLE, code=13)
    driven.hear(2, 8)
    driven.hear(3, 90, AnswerKind.ECHO_REPLY)
    assert driven.trace.end_ttl == 4
    assert driven.trace.expire(START + 90 * MS)
    assert [reply.kind for reply in driven.trace.replies][-1] is NodeKind.TARGET


def test_answer_without_identity_counts_for_the_only_open_probe() -> None:
    """For none if several are open."""
    udp = flow(PacketType.UDP)
    trace = Trace(TraceSpec(TARGET, PacketType.UDP, max_ttl=2, packets_per_ttl=1), udp, now=START)
    for _ in range(2):
        index, _ = trace.take()
        trace.probe_sent(index, START)
    datagram = Heard(AnswerKind.DATAGRAM, TARGET, udp.key, None)
    assert trace.heard(datagram, at=START + MS, read_at=START + MS) is None
    assert trace.counters.ambiguous == 1
    exceeded = Heard(
        AnswerKind.TIME_EXCEEDED, router(1), udp.key, None, tag=udp.marks.tag(0), source=SOURCE
    )
    assert trace.heard(exceeded, at=START + MS, read_at=START + MS) is not None
    # However late it is read: when it came is what counts.
    reply = trace.heard(datagram, at=START + 2 * MS, read_at=START + 5 * SECOND)
    assert reply is not None
    assert (reply.ttl, reply.kind) == (2, NodeKind.TARGET)


def test_answer_without_identity_is_no_end_before_routers() -> None:
    """The only open probe is that of a silent hop, and routers beyond it have answered: the hop is
    not the target."""
    udp = flow(PacketType.UDP)
    trace = Trace(TraceSpec(TARGET, PacketType.UDP, max_ttl=3, packets_per_ttl=1), udp, now=START)
    for _ in range(3):
        index, _ = trace.take()
        trace.probe_sent(index, START)
    for index in (0, 2):
        tag = udp.marks.tag(index)
        exceeded = Heard(
            AnswerKind.TIME_EXCEEDED, router(index + 1), udp.key, None, tag=tag, source=SOURCE
        )
        assert trace.heard(exceeded, at=START + MS, read_at=START + MS) is not None
    datagram = Heard(AnswerKind.DATAGRAM, TARGET, udp.key, None)
    assert trace.heard(datagram, at=START + 2 * MS, read_at=START + 2 * MS) is None
    assert (trace.reached, trace.counters.ambiguous, trace.caveats.unplaced) == (False, 1, 1)


@pytest.mark.parametrize(("quoted", "spared"), [(None, 0), (1, 0), (3, 2), (5, 4), (6, 0), (62, 0)])
def test_impossible_quoted_ttl_does_not_lower_the_expected_ttl(
    quoted: int | None, spared: int
) -> None:
    """A possible one does, by the rest of its TTL."""
    heard = Heard(AnswerKind.UNREACHABLE, TARGET, FLOW.key, None, quoted_ttl=quoted)
    left = judge(heard, FLOW).ttl_left
    assert answer_bounds(int(NodeKind.TARGET), 5, left, 99).expected_ttl == 5 - spared


def test_stopped_trace_keeps_its_answers() -> None:
    """It ends once."""
    driven = Driven()
    driven.send_all()
    driven.hear(0, 1)
    driven.trace.stop(START + 5 * MS)
    driven.trace.stop(START + 9 * MS)
    assert driven.trace.ended == START + 5 * MS
    assert not driven.hear(1, 10)
    assert driven.trace.counters.late == 1


def test_number_of_probes_is_bounded() -> None:
    """Beyond the bound their numbers would overlap."""
    TraceSpec(TARGET, max_ttl=64, packets_per_ttl=10)
    with pytest.raises(ValueError, match="640"):
        TraceSpec(TARGET, max_ttl=64, packets_per_ttl=11)
