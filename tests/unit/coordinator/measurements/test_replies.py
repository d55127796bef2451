"""The recorded replies of a row."""

import msgspec
import pytest
from colotrace_coordinator.measurements.replies import replies_of
from colotrace_proto.measured import Trace
from colotrace_proto.messages import FlowFields, Node, NodeKind, PacketType, Replies
from colotrace_proto.rows import Colo
from colotrace_proto.tally import Gathered

NODES = (
    Node(bytes([10, 0, 0, 1])),
    Node(bytes(15) + b"\1"),
    Node(bytes([192, 0, 2, 7]), NodeKind.TARGET),
)


def traced(
    replies: Replies, flows: tuple[FlowFields, ...] = (), *, own_ends: bool = False
) -> Trace:
    gathered = Gathered(
        target="web.example",
        colo=Colo(city="", name="den01"),
        sent=(3, 3, 3),
        replies=replies,
        own_ends=own_ends,
    )
    return Trace(gathered=gathered, began_ms=0, flows=flows)


def test_replies_are_sorted_by_ttl_and_keep_their_resolution() -> None:
    """Nanoseconds as milliseconds, without rounding; of one TTL in the order of arrival."""
    table = Replies((2, 1, 1), (1_234_567, 400_001, 399_999), (2, 1, 0), NODES)
    found = replies_of(traced(table), multipath=False)
    assert msgspec.to_builtins(found) == [
        {"ttl": 1, "rtt_ms": 0.400001, "ip": "::1"},
        {"ttl": 1, "rtt_ms": 0.399999, "ip": "10.0.0.1"},
        {"ttl": 2, "rtt_ms": 1.234567, "ip": "192.0.2.7"},
    ]


def test_replies_beyond_the_target_are_left_out() -> None:
    """So that each reply is of a hop of the row."""
    table = Replies((1, 2, 3), (1, 2, 3), (0, 2, 2), NODES)
    assert [reply.ttl for reply in replies_of(traced(table), multipath=False)] == [1, 2]


@pytest.mark.parametrize(("multipath", "flows"), [(True, [7, 5]), (False, [None, None])])
def test_flow_is_told_of_multipath_rows_by_its_number(
    multipath: bool, flows: list[int | None]
) -> None:
    table = Replies((1, 2), (1, 2), (0, 2), NODES, (0, 1), (1, 0))
    fields = tuple(FlowFields(PacketType.UDP, number=number) for number in (5, 7))
    found = replies_of(traced(table, fields, own_ends=True), multipath=multipath)
    assert [msgspec.to_builtins(reply).get("flow") for reply in found] == flows


def test_rows_of_old_agents_have_no_flow() -> None:
    """Nor has one whose flow nothing tells of."""
    old = Replies((1,), (1,), (0,), NODES)
    odd = Replies((1,), (1,), (0,), NODES, (0,), (3,))
    for table in (old, odd):
        [reply] = replies_of(traced(table), multipath=True)
        assert msgspec.to_builtins(reply) == {"ttl": 1, "rtt_ms": 1e-06, "ip": "10.0.0.1"}


def test_silent_row_has_none() -> None:
    assert replies_of(traced(Replies()), multipath=False) == []
