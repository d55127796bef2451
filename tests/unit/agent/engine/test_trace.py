"""One trace's decisions: what is due, what counts, when it ends."""

import errno

import pytest
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import AnswerKind, Flow, Heard, TraceSpec
from colotrace_proto.messages import NodeKind, PacketType

MS, SECOND = 1_000_000, 1_000_000_000
START = 7 * SECOND
SOURCE, TARGET = bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9])
FLOW = Flow(PacketType.ICMP, SOURCE, TARGET, 100, 0, 5_000, 1)


def router(ttl: int) -> bytes:
    """The router at that TTL."""
    return bytes([198, 18, ttl, 1])


class Driven:
    """A trace and the few words that drive it in a test."""

    def __init__(self, *, max_ttl: int = 5, packets: int = 1, wait_s: int = 1) -> None:
        spec = TraceSpec(TARGET, max_ttl=max_ttl, packets_per_ttl=packets, wait_ns=wait_s * SECOND)
        self.trace = Trace(spec, FLOW, now=START)

    def send_all(self, *, at: int = START) -> list[int]:
        """Send what is due; the TTLs in the order they left."""
        ttls = []
        while self.trace.unsent:
            index, ttl = self.trace.take()
            self.trace.probe_sent(index, at)
            ttls.append(ttl)
        return ttls

    def hear(
        self,
        index: int,
        rtt_ms: float,
        kind: AnswerKind = AnswerKind.TIME_EXCEEDED,
        *,
        code: int = 0,
        responder: bytes | None = None,
    ) -> bool:
        """An answer to that probe; whether it counted."""
        ttl = index % self.trace.spec.max_ttl + 1
        number = (FLOW.first_number + index) % 65_536
        who = responder or (TARGET if kind is AnswerKind.ECHO_REPLY else router(ttl))
        quoted = None if kind is AnswerKind.ECHO_REPLY else SOURCE
        heard = Heard(kind, who, FLOW.key, number, None, quoted, code)
        return self.trace.heard(heard, at=START + round(rtt_ms * MS)) is not None

    def ends_after_ms(self) -> float:
        """When it closes, from its start."""
        closes_at = self.trace.closes_at()
        assert closes_at is not None
        assert not self.trace.expire(closes_at - 1)
        assert self.trace.expire(closes_at)
        return (closes_at - START) / MS


def test_rounds_go_out_in_ascending_ttl() -> None:
    """So a host that limits its answers gives them to the lowest TTLs."""
    assert Driven(max_ttl=3, packets=2).send_all() == [1, 2, 3, 1, 2, 3]


def test_what_lies_beyond_the_target_is_not_sent() -> None:
    """Once it has answered, later rounds end there."""
    driven = Driven(max_ttl=5, packets=3)
    for _ in range(5):
        index, _ = driven.trace.take()
        driven.trace.probe_sent(index, START)
    driven.hear(2, 10, AnswerKind.ECHO_REPLY)
    assert driven.send_all() == [1, 2, 3, 1, 2, 3]
    assert driven.trace.sent == [3, 3, 3, 1, 1]


def test_the_lowest_ttl_that_the_target_answered_ends_the_path() -> None:
    """Whichever answer came first."""
    driven = Driven()
    driven.send_all()
    for index in (4, 2, 3):
        assert driven.hear(index, 10, AnswerKind.ECHO_REPLY)
    assert driven.trace.reached
    assert driven.trace.end_ttl == 3


def test_a_trace_ends_when_all_have_answered() -> None:
    """Nothing beyond the target is waited for."""
    driven = Driven()
    driven.send_all()
    driven.hear(0, 1)
    driven.hear(1, 2)
    assert not driven.trace.expire(START + 10 * MS)
    driven.hear(2, 20, AnswerKind.ECHO_REPLY)
    assert driven.trace.expire(START + 20 * MS)
    assert driven.trace.ended == START + 20 * MS


def test_nothing_at_all_is_waited_for_in_full() -> None:
    """There is no round trip to go by."""
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
def test_a_silent_hop_before_others_is_given_up_early(
    rtt_ms: float, wait_s: int, ends_ms: float
) -> None:
    """By what the path beyond it takes."""
    driven = Driven(wait_s=wait_s)
    driven.send_all()
    driven.hear(1, rtt_ms, AnswerKind.ECHO_REPLY)
    assert driven.ends_after_ms() == ends_ms


@pytest.mark.parametrize(("rtt_ms", "ends_ms"), [(5, 250), (150, 450), (400, 1_000)])
def test_a_lost_answer_is_given_up_by_its_own_hops_round_trip(
    rtt_ms: float, ends_ms: float
) -> None:
    """Three times that."""
    driven = Driven(max_ttl=1, packets=2)
    driven.send_all()
    driven.hear(0, rtt_ms)
    assert driven.ends_after_ms() == ends_ms


def test_a_copy_is_a_duplicate() -> None:
    """The first counts."""
    driven = Driven()
    driven.send_all()
    assert driven.hear(0, 1)
    assert not driven.hear(0, 2)
    assert driven.trace.counters.duplicates == 1
    assert [reply.rtt_ns for reply in driven.trace.replies] == [MS]


def test_an_answer_after_its_wait_is_late() -> None:
    """It has no round trip, and stays out of the row."""
    driven = Driven()
    driven.send_all()
    assert driven.hear(0, 1_000)
    assert not driven.hear(1, 1_000.001)
    assert driven.trace.counters.late == 1
    assert len(driven.trace.replies) == 1


def test_an_answer_to_what_was_not_sent_is_foreign() -> None:
    """Not taken yet, or kept from leaving."""
    driven = Driven()
    index, _ = driven.trace.take()
    driven.trace.probe_failed(index, errno.EPERM)
    assert not driven.hear(index, 1)
    assert not driven.hear(1, 1)
    assert driven.trace.counters.foreign == 2


def test_an_answer_stamped_before_its_probe_takes_no_time() -> None:
    """Never a negative round trip, whatever the clocks do."""
    driven = Driven()
    driven.send_all()
    assert driven.hear(0, -3)
    assert driven.trace.replies[0].rtt_ns == 0


def test_a_probe_that_could_not_leave_is_neither_sent_nor_waited_for() -> None:
    """It is the host's fault, and told apart by its errno."""
    driven = Driven(max_ttl=2)
    for error in (errno.EPERM, errno.ENOBUFS):
        index, _ = driven.trace.take()
        driven.trace.probe_failed(index, error)
    assert driven.trace.sent == [0, 0]
    assert driven.trace.send_errors == {errno.EPERM: 1, errno.ENOBUFS: 1}
    assert driven.trace.expire(START)


def test_the_hosts_own_unreachable_is_a_failed_send() -> None:
    """No neighbour answered it: nothing left the host."""
    driven = Driven(max_ttl=1)
    driven.send_all()
    assert not driven.hear(0, 1, AnswerKind.UNREACHABLE, code=1, responder=SOURCE)
    assert driven.trace.sent == [0]
    assert driven.trace.send_errors == {errno.EHOSTUNREACH: 1}
    assert driven.trace.counters.foreign == 0


def test_a_refusal_ends_the_path_once_the_rest_is_settled() -> None:
    """What is out there already may still get past whoever refuses."""
    driven = Driven(packets=2)
    for _ in range(5):
        index, _ = driven.trace.take()
        driven.trace.probe_sent(index, START)
    driven.hear(1, 20, AnswerKind.UNREACHABLE, code=13)
    assert driven.send_all() == [1, 2]
    for index, rtt_ms in ((0, 1), (5, 1), (6, 20)):
        driven.hear(index, rtt_ms)
    assert not driven.trace.reached
    assert driven.trace.end_ttl == 2
    # A quarter second for the three beyond, from which nothing has come.
    assert driven.ends_after_ms() == 250


def test_a_refusal_does_not_hide_a_target_that_answers() -> None:
    """The target is the end, however much later it says so."""
    driven = Driven()
    driven.send_all()
    driven.hear(0, 1)
    driven.hear(1, 5, AnswerKind.UNREACHABLE, code=13)
    driven.hear(2, 8)
    driven.hear(3, 90, AnswerKind.ECHO_REPLY)
    assert driven.trace.end_ttl == 4
    assert driven.trace.expire(START + 90 * MS)
    assert [reply.kind for reply in driven.trace.replies][-1] is NodeKind.TARGET


def test_an_answer_that_names_no_probe_counts_for_the_only_one_open() -> None:
    """And for none where it could be several's."""
    flow = Flow(PacketType.UDP, SOURCE, TARGET, 20_000, 53, 1, 1)
    trace = Trace(TraceSpec(TARGET, PacketType.UDP, max_ttl=2, packets_per_ttl=1), flow, now=START)
    for _ in range(2):
        index, _ = trace.take()
        trace.probe_sent(index, START)
    datagram = Heard(AnswerKind.DATAGRAM, TARGET, flow.key, None)
    assert trace.heard(datagram, at=START + MS) is None
    assert trace.counters.foreign == 1
    exceeded = Heard(AnswerKind.TIME_EXCEEDED, router(1), flow.key, 1, None, SOURCE)
    assert trace.heard(exceeded, at=START + MS) is not None
    reply = trace.heard(datagram, at=START + 2 * MS)
    assert reply is not None
    assert (reply.ttl, reply.kind) == (2, NodeKind.TARGET)


def test_a_stopped_trace_keeps_what_it_has() -> None:
    """And ends once."""
    driven = Driven()
    driven.send_all()
    driven.hear(0, 1)
    driven.trace.stop(START + 5 * MS)
    driven.trace.stop(START + 9 * MS)
    assert driven.trace.ended == START + 5 * MS
    assert not driven.hear(1, 10)
    assert driven.trace.counters.late == 1


def test_a_trace_has_a_bound() -> None:
    """Beyond it the numbers of its probes would no longer be apart."""
    TraceSpec(TARGET, max_ttl=64, packets_per_ttl=10)
    with pytest.raises(ValueError, match="640"):
        TraceSpec(TARGET, max_ttl=64, packets_per_ttl=11)
