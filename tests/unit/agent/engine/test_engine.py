"""All traces together: whose turn, whose answer, and when to look again."""

import errno
import weakref

from colotrace_agent.engine.engine import Engine
from colotrace_agent.engine.limits.budget import TARGET_RATE
from colotrace_agent.engine.limits.shares import Share
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import AnswerKind, Heard, Probe, TraceSpec
from colotrace_proto.messages import PacketType

MS, SECOND = 1_000_000, 1_000_000_000
NOW = 9 * SECOND
SOURCE, TARGET = bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9])
ALL = 10_000


def started(
    engine: Engine, *, max_ttl: int = 3, packets: int = 1, rounds: bool = False, now: int = NOW
) -> Trace:
    spec = TraceSpec(TARGET, max_ttl=max_ttl, packets_per_ttl=packets, rounds=rounds)
    flow = engine.identities.allocate(spec, SOURCE, reserve=lambda _: True, now=now)
    return engine.start(spec, flow, now=now)


def send(engine: Engine, *, now: int = NOW, most: int = ALL) -> list[Probe]:
    probes = engine.poll(now, most=most)
    for probe in probes:
        engine.sent(probe, at=now)
    return probes


def echo(probe: Probe) -> Heard:
    tag = probe.flow.marks.tag(probe.ordinal) or b"of no probe"
    return Heard(AnswerKind.ECHO_REPLY, TARGET, probe.flow.key, None, tag=tag)


def test_trace_sends_a_few_probes_at_once() -> None:
    """Answers to them can spare later ones."""
    engine = Engine()
    started(engine, max_ttl=10, packets=2)
    polls = [[probe.ttl for probe in send(engine)] for _ in range(3)]
    assert polls == [[1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], [7, 7, 8, 8, 9, 9, 10, 10], []]


def test_trace_that_has_sent_least_goes_first() -> None:
    """A new trace does not wait for older ones."""
    engine = Engine()
    old = started(engine, max_ttl=10, packets=3)
    assert {probe.flow for probe in send(engine)} == {old.flow}
    new = started(engine, packets=3)
    order = [probe.flow for _ in range(3) for probe in send(engine, most=3)]
    assert order == [new.flow] * 9


def test_poll_of_no_probes_keeps_the_order() -> None:
    """`most` 0 costs no trace its turn."""
    engine = Engine()
    first = started(engine)
    assert engine.poll(NOW, most=0) == []
    assert {probe.flow for probe in send(engine)} == {first.flow}


def test_poll_continues_where_the_last_one_stopped() -> None:
    """Every probe leaves once, in order."""
    engine = Engine()
    started(engine, max_ttl=5, packets=2)
    polls = [send(engine, most=3) for _ in range(4)]
    assert [[probe.ttl for probe in probes] for probes in polls] == [
        [1, 1, 2], [2, 3, 3], [4, 4, 5], [5],
    ]  # fmt: skip
    assert send(engine) == []


def test_answer_of_the_target_spares_probes_beyond() -> None:
    """The next poll continues with the target's own TTL and ends there."""
    engine = Engine()
    started(engine, max_ttl=5, packets=3)
    probes = send(engine, most=4)
    engine.heard(echo(probes[3]), at=NOW + MS, read_at=NOW + MS)
    assert [probe.ttl for probe in send(engine, now=NOW + MS)] == [2, 2]


def test_known_distance_spares_probes_beyond() -> None:
    """Beyond it the next trace sends one probe for each TTL; ten minutes later, all again."""
    engine = Engine()
    first = started(engine, max_ttl=4, packets=3)
    for probe in send(engine):
        if probe.ttl == 2:
            engine.heard(echo(probe), at=NOW + MS, read_at=NOW + MS)
    engine.stop(first, now=NOW + MS)
    for later, ttls in ((SECOND, [1, 1, 1, 2, 2, 2, 3, 4]), (700 * SECOND, [1, 1, 1, 2, 2, 2, 3])):
        trace = started(engine, max_ttl=4, packets=3, now=NOW + later)
        assert [probe.ttl for probe in send(engine, now=NOW + later)][: len(ttls)] == ttls
        engine.stop(trace, now=NOW + later)
    assert sum(trace.sent) == 12


def test_flows_of_several_paths_expect_the_furthest_end() -> None:
    """A longer path needs all probes up to its own end, whichever flow ended last."""
    engine = Engine()
    for end in (3, 2):
        trace = started(engine, max_ttl=4, packets=2, rounds=True)
        for probe in send(engine):
            if probe.ttl == end:
                engine.heard(echo(probe), at=NOW + MS, read_at=NOW + MS)
        engine.stop(trace, now=NOW + MS)
    started(engine, max_ttl=4, packets=2, rounds=True, now=NOW + SECOND)
    ttls = [probe.ttl for probe in send(engine, now=NOW + SECOND)]
    assert sorted(ttls) == [1, 1, 2, 2, 3, 3, 4]


def test_deadline_is_when_the_budget_allows_a_probe() -> None:
    """A poll at that time returns one."""
    engine = Engine(rate=100)
    for _ in range(20):
        started(engine, max_ttl=64)
    while send(engine):
        pass
    at = engine.next_deadline(NOW)
    assert at is not None
    assert NOW < at <= NOW + 11 * MS
    assert len(send(engine, now=at + 1)) == 1


def test_idle_engine_has_no_deadline() -> None:
    """Only a new trace changes that."""
    engine = Engine()
    assert engine.next_deadline(NOW) is None
    assert engine.poll(NOW, most=ALL) == []


def test_end_of_a_trace_is_its_last_change() -> None:
    """It is reported once, and the trace is forgotten."""
    engine = Engine()
    trace = started(engine)
    probes = send(engine)
    engine.expire(NOW)
    # The shortest patience first, to see how long it is really.
    soon, at = engine.next_deadline(NOW), NOW + SECOND
    assert soon == NOW + 250 * MS
    engine.expire(soon)
    assert engine.next_deadline(soon) == at
    engine.expire(at - 1)
    assert engine.changed == set()
    engine.expire(at)
    assert engine.changed == {trace}
    assert trace.ended == at
    assert len(engine) == 0
    assert engine.next_deadline(at) is None
    engine.heard(echo(probes[0]), at=at + 1, read_at=at + 1)
    assert (engine.late, engine.foreign) == (1, 0)


def test_answer_moves_the_deadline() -> None:
    """It follows the RTTs."""
    engine = Engine()
    trace = started(engine, max_ttl=2)
    probes = send(engine)
    engine.expire(NOW)
    engine.heard(echo(probes[1]), at=NOW + 10 * MS, read_at=NOW + 10 * MS)
    engine.expire(NOW + 10 * MS)
    assert engine.changed == {trace}
    assert engine.next_deadline(NOW + 10 * MS) == NOW + 250 * MS


def test_answer_of_no_probe_is_foreign() -> None:
    """It names no trace, or no probe of one."""
    engine = Engine()
    trace = started(engine)
    (first, *_) = send(engine)
    elsewhere = first.flow.key._replace(identifier=first.flow.identifier ^ 1)
    engine.heard(echo(first)._replace(key=elsewhere), at=NOW, read_at=NOW)
    engine.heard(echo(first._replace(ordinal=99)), at=NOW, read_at=NOW)
    assert (engine.foreign, trace.counters.foreign) == (1, 1)
    assert engine.changed == set()


def test_trace_whose_sends_all_fail_ends_at_once() -> None:
    """There is nothing to wait for."""
    engine = Engine()
    trace = started(engine)
    for probe in engine.poll(NOW, most=ALL):
        engine.failed(probe, errno.ENETUNREACH)
    engine.expire(NOW)
    assert trace.ended == NOW
    assert trace.caveats.send_errors == {errno.ENETUNREACH: 3}


def test_stopped_trace_sends_no_more() -> None:
    """Its end is reported like any other."""
    engine = Engine()
    trace = started(engine, packets=3)
    send(engine)
    engine.stop(trace, now=NOW + MS)
    assert engine.changed == {trace}
    assert send(engine, now=NOW + MS) == []
    assert engine.next_deadline(NOW + MS) is None


def test_send_report_after_the_end_is_ignored() -> None:
    """The trace may end between poll and send."""
    engine = Engine()
    trace = started(engine)
    probes = engine.poll(NOW, most=ALL)
    engine.stop(trace, now=NOW)
    engine.sent(probes[0], at=NOW)
    engine.failed(probes[1], errno.EPERM)
    assert trace.sent == [0, 0, 0]


def test_ended_traces_are_released() -> None:
    """Nothing holds them beyond the longest wait, however often their ends moved."""
    engine = Engine(rate=1e6)
    now, traces = NOW, []
    for _ in range(200):
        trace = started(engine, max_ttl=15, packets=3, now=now)
        traces.append(weakref.ref(trace))
        for _ in range(3):
            for probe in send(engine, now=now):
                engine.heard(echo(probe), at=now + probe.ttl * MS, read_at=now + probe.ttl * MS)
                engine.expire(now + MS)
        now += 100 * MS
        engine.expire(now)
        assert trace.ended is not None
        engine.changed.clear()
    del trace
    now += SECOND
    engine.expire(now)
    engine.poll(now, most=ALL)
    assert engine.next_deadline(now) is None
    assert [trace for trace in traces if trace() is not None] == []


def test_first_hops_have_a_budget_of_their_own() -> None:
    """All traces of a host pass these routers: probes that expire there are at most a fifth of all
    packets."""
    engine = Engine()
    for number in range(400):
        spec = TraceSpec(bytes([203, 0, 113, number % 256]), max_ttl=3, packets_per_ttl=1)
        flow = engine.identities.allocate(spec, SOURCE, reserve=lambda _: True, now=NOW)
        engine.start(spec, flow, now=NOW)
    sent = 0
    while probes := send(engine):
        sent += len(probes)
    assert sent == 512
    at = engine.next_deadline(NOW)
    assert at is not None
    assert NOW < at <= NOW + 5 * MS
    assert len(send(engine, now=NOW + 100 * MS)) == 100


def test_budget_of_one_target_is_independent_of_the_rate() -> None:
    """For any number of traces to it."""
    engine = Engine(rate=1e6)
    for _ in range(100):
        started(engine, max_ttl=15, packets=3)
    sent = 0
    while probes := send(engine):
        sent += len(probes)
    assert sent == 640
    assert len(send(engine, now=NOW + 100 * MS)) == 100
    elsewhere = TraceSpec(bytes([203, 0, 113, 77]), max_ttl=4, packets_per_ttl=3)
    flow = engine.identities.allocate(elsewhere, SOURCE, reserve=lambda _: True, now=NOW)
    engine.start(elsewhere, flow, now=NOW + 100 * MS)
    assert len(send(engine, now=NOW + 100 * MS)) == 12


def test_queue_overflow_is_counted_once_for_each_trace() -> None:
    """Also for GRE, whose traces are found by two keys."""
    engine = Engine()
    spec = TraceSpec(TARGET, PacketType.GRE, max_ttl=3, packets_per_ttl=1)
    flow = engine.identities.allocate(spec, SOURCE, reserve=lambda _: True, now=NOW)
    trace = engine.start(spec, flow, now=NOW)
    engine.overflowed(5)
    assert trace.caveats.overflows == engine.overflows == 5


def sent_after(engine: Engine, trace: Trace, since: int) -> int:
    """Runs the engine until all probes of the trace have left; how long that took."""
    now = since
    while trace.unsent:
        send(engine, now=now)
        engine.expire(now)
        deadline = engine.next_deadline(now)
        if trace.unsent:
            assert deadline is not None
            now = max(deadline, now + 1)
    return now - since


def trace_to(number: int, engine: Engine, *, now: int, share: Share[Trace] | None = None) -> Trace:
    target = bytes([198, 51, number // 256, number % 256])
    spec = TraceSpec(target, max_ttl=15, packets_per_ttl=3)
    flow = engine.identities.allocate(spec, SOURCE, reserve=lambda _: True, now=now)
    return engine.start(spec, flow, now=now, share=share)


def test_large_job_hardly_delays_a_small_one() -> None:
    """With the default budgets: 222 traces of one job, and one that comes later."""
    alone = Engine()
    usual = sent_after(alone, trace_to(0, alone, now=NOW), NOW)
    engine, share = Engine(), Share[Trace]()
    large = [trace_to(number, engine, now=NOW, share=share) for number in range(1, 223)]
    later = NOW
    for _ in range(20):
        send(engine, now=later)
        later = max(engine.next_deadline(later) or 0, later + 1)
    assert any(trace.unsent for trace in large)
    small = trace_to(0, engine, now=later)
    assert sent_after(engine, small, later) <= usual + 50 * MS


def test_steady_new_jobs_starve_no_job() -> None:
    """Together the jobs want a third more than the budget. Each has sent all its probes within
    twice the time of a queue."""
    engine, now, waits = Engine(), NOW, []
    begun: list[tuple[int, Trace]] = []
    for number in range(1_000):
        begun.append((now, trace_to(number, engine, now=now)))
        until = (
            now + 7 * MS
        )  # 6,400 probes a second where 5,000 may leave, 1,290 near ones of 1,000
        while now < until:
            send(engine, now=now)
            deadline = engine.next_deadline(now)
            now = min(max(deadline or until, now + 1), until)
        waits += [now - since for since, trace in begun if not trace.unsent]
        begun = [(since, trace) for since, trace in begun if trace.unsent]
    in_line = 1_000 * 45 * SECOND // 5_000 - 7 * SECOND
    assert max(*waits, *(now - since for since, _ in begun)) <= 2 * in_line


def test_budget_of_one_target_covers_traces_in_sequence() -> None:
    """A second's budget and the burst, for any number of traces one after the other."""
    engine = Engine(rate=1e6)
    now, sent = NOW, 0
    while now < NOW + SECOND:
        trace = started(engine, max_ttl=30, packets=10, now=now)
        now += sent_after(engine, trace, now) + MS
        sent += sum(trace.sent)
        engine.stop(trace, now=now)
    assert sent <= 640 + 1.3 * TARGET_RATE
