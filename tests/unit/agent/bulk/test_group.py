"""Traces of a group: which of them wait to send, and what a freed line keeps."""

import numpy as np
from colotrace_agent.bulk.engine import BulkEngine
from colotrace_agent.bulk.flows import rows_of
from colotrace_agent.bulk.group import Group
from colotrace_agent.model import MissingNeighbour, TraceSpec
from colotrace_proto.messages import NodeKind

NOW, MS = 9_000_000_000, 1_000_000
SOURCE = bytes([192, 0, 2, 1])


def begun(engine: BulkEngine, count: int) -> Group:
    """Traces to so many targets, none of which has sent anything."""
    targets = [bytes([203, 0, number // 256, number % 256]) for number in range(count)]
    assert engine.startable(targets) == count
    flows, free = engine.allocate(
        rows_of(targets), rows_of([SOURCE] * count), reserve=lambda _: True, now=NOW
    )
    assert free.all()
    group, _ = engine.start(flows, now=NOW)
    return group


def answer_all(group: Group, due_lines: np.ndarray, due_ordinals: np.ndarray) -> None:
    """The target answers the first probe of each trace."""
    first = due_ordinals == 0
    lines = due_lines[first]
    count = len(lines)
    group.hearing.count(
        lines, due_ordinals[first], kind=np.full(count, NodeKind.TARGET, np.uint8),
        who=group.columns.targets[lines], at=np.full(count, NOW + MS), read_at=NOW + MS,
        ttl_left=np.zeros(count, np.int64),
    )  # fmt: skip


def test_trace_that_ends_before_its_turn_leaves_the_queue() -> None:
    """Otherwise no new trace would find room."""
    engine = BulkEngine(TraceSpec(bytes(4), max_ttl=15, packets_per_ttl=1), rate=1e6)
    group = begun(engine, 300)
    assert engine.waiting == 300
    sent = 0
    while sent < 300:
        ((_, due),) = engine.poll(NOW, most=30)
        group.sending.sent(due, at=np.full(len(due.lines), NOW))
        sent += int((due.ordinals == 0).sum())
        answer_all(group, due.lines, due.ordinals)
        # The target was at TTL 1; what else of the first hops was sent is not waited for.
        for ended in engine.expire(NOW + MS):
            engine.told(ended, NOW + MS)
    assert len(engine) == 0
    assert engine.waiting == 0
    assert engine.next_deadline(NOW + MS) is None or engine.poll(NOW + 50 * MS, most=100) == []


def test_reused_line_keeps_nothing() -> None:
    """Stamps and answers of the trace before do not count for the new one."""
    engine = BulkEngine(TraceSpec(bytes(4), max_ttl=3, packets_per_ttl=1), rate=1e6)
    group = begun(engine, 1)
    ((_, due),) = engine.poll(NOW, most=30)
    group.sending.sent(due, at=np.full(len(due.lines), NOW))
    old = group.columns.tickets(due.lines, due.ordinals)
    (ended,) = engine.stop(NOW)
    engine.told(ended, NOW)
    again = begun(engine, 1)
    assert again is group
    ((_, due),) = engine.poll(NOW, most=30)
    group.sending.sent(due, at=np.full(len(due.lines), NOW))
    group.hearing.stamps(old, np.full(len(old), NOW - MS), np.ones(len(old), np.bool_))
    assert not group.columns.stamped.any()
    assert group.columns.answers.sum() == 0


def test_report_about_an_ended_trace_is_ignored() -> None:
    """Its line may belong to another trace by then."""
    engine = BulkEngine(TraceSpec(bytes(4), max_ttl=3, packets_per_ttl=1), rate=1e6)
    group = begun(engine, 1)
    ((_, due),) = engine.poll(NOW, most=30)
    group.sending.sent(due, at=np.full(len(due.lines), NOW))
    (ended,) = engine.stop(NOW)
    line = int(ended.numbers[0])
    group.sending.kept_back(
        line,
        group.columns.undeparted(np.array([line]))[line],
        113,
        MissingNeighbour(bytes(4), "eth0"),
    )
    assert engine.expire(NOW + 60_000 * MS) == []
    assert ended.line(line).caveats.send_errors == {113: 3}
    engine.told(ended, NOW)
    assert engine.expire(NOW + 60_000 * MS) == []
    assert group.columns.room == group.columns.lines


def test_traces_to_one_target_run_one_after_the_other() -> None:
    """The second waits, and those behind it."""
    engine = BulkEngine(TraceSpec(bytes(4), max_ttl=3, packets_per_ttl=1), rate=1e6)
    one, two, three = (bytes([203, 0, 0, number]) for number in range(3))
    assert engine.startable([one, two, three]) == 3
    assert engine.startable([one, two, one, three]) == 2
    begun(engine, 1)
    assert engine.startable([two, three, one]) == 2
    assert engine.startable([one, two]) == 0
