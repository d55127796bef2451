"""How much is worked on between two steps, and in all. Counted, not timed: each look-up of an
address in a set or dictionary, and each comparison of two, counts."""

import random
from collections.abc import Sequence

import pytest
from colotrace_analysis import diff, fate, graph, merging
from colotrace_analysis.merging import By
from colotrace_analysis.paths import paths
from colotrace_analysis.work import STEP_LINES, Work
from colotrace_proto.measured import Trace
from colotrace_proto.messages import Node, NodeKind, Replies
from msgspec.structs import replace
from recorded import udp_flow

from .written import TARGET, measured, row

_USES = 10
"""Most uses of an address for each reply of a step."""


class Uses:
    """How often addresses have been used."""

    count = 0


class Address(bytes):
    """A packed address that counts its uses."""

    __slots__ = ()

    def __hash__(self) -> int:
        Uses.count += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        Uses.count += 1
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def _row(flows: Sequence[Sequence[Sequence[int]]], *, colo: str = "den01", late: int = 0) -> Trace:
    """A row: of each flow and TTL the numbers of the routers that answered, 0 for the target."""
    lines: list[tuple[int, int, int, int, int]] = []
    nodes: dict[int, int] = {}
    for at, hops in enumerate(flows):
        ordinal = 0
        for ttl, hop in enumerate(hops, 1):
            for number in hop:
                place = nodes.setdefault(number, len(nodes))
                lines.append((ttl, (ttl + late) * 1_000_000, place, ordinal, at))
                ordinal += 1
    lines.sort()
    columns = list(zip(*lines, strict=True))
    described = tuple(
        Node(Address((10 << 24 | number).to_bytes(4, "big")))
        if number
        else Node(Address(TARGET), NodeKind.TARGET)
        for number in nodes
    )
    base = row("a", colo=colo)
    longest = max(map(len, flows))
    gathered = replace(
        base.gathered,
        sent=tuple(
            max(1, sum(len(hops[ttl]) for hops in flows if ttl < len(hops)))
            for ttl in range(longest)
        ),
        replies=Replies(columns[0], columns[1], columns[2], described, columns[3], columns[4]),
        own_ends=len(flows) > 1,
        links=() if len(flows) > 1 else None,
    )
    return replace(
        base, gathered=gathered, flows=tuple(udp_flow(number) for number in range(len(flows)))
    )


def _wide(flows: int, hops: int = 10, *, first: int = 1) -> Trace:
    """Each flow meets routers of its own."""
    return _row([[[first + at * hops + ttl] for ttl in range(hops)] + [[0]] for at in range(flows)])


def _uses(work: Work[object]) -> tuple[int, int]:
    """The most uses of addresses in one step, and all uses."""
    Uses.count = before = most = 0
    for _ in work:
        most = max(most, Uses.count - before)
        before = Uses.count
    return max(most, Uses.count - before), Uses.count


def _diff(flows: int) -> Work[object]:
    return diff.work(measured(_wide(flows)), measured(_wide(flows, first=100_000)))


def _graph(flows: int) -> Work[object]:
    return graph.work(measured(_wide(flows)), with_fate=True)


@pytest.mark.parametrize("work", [_diff, _graph])
def test_step_works_on_few_replies_of_a_wide_row(work) -> None:
    most, every = _uses(work(800))
    assert most <= _USES * STEP_LINES
    assert every > 5 * most


@pytest.mark.parametrize("work", [_diff, _graph])
def test_work_grows_with_the_replies_of_a_wide_row(work) -> None:
    assert _uses(work(200))[1] < 6 * _uses(work(50))[1]


@pytest.mark.parametrize("by", [By.ADDRESS, By.ASN])
def test_silence_beside_a_hop_of_many_addresses_costs_each_address_once(by) -> None:
    def uses(silent: int) -> int:
        numbers = range(1, 1_001)
        hostile = _row([[numbers, *[[]] * silent, range(1_001, 2_001)]])
        return _uses(graph.work(measured(hostile), by=by))[1]

    assert uses(40) < 1.5 * uses(4)


def test_hop_of_many_addresses_compares_none_with_each() -> None:
    def uses(count: int) -> int:
        Uses.count = 0
        assert len(paths(_row([[range(1, count + 1)]]))[0].hops[0]) == count
        return Uses.count

    assert uses(800) < 6 * uses(200)


def test_candidates_beyond_those_compared_are_counted(monkeypatch) -> None:
    chance = random.Random(1)
    crossing = [set(chance.sample(range(40), 20)) for _ in range(20)]
    crossing += [set(sorted(rows)[:12]) for rows in crossing]  # covered by those before
    bad = [
        _row(
            [[[at for at, rows in enumerate(crossing, 1) if number in rows] or [99]]],
            colo=f"bad{number:02}",
        )
        for number in range(40)
    ]
    healthy = [_row([[[100], [0]]], colo=f"fit{number:02}") for number in range(40)]
    rows = measured(*bad, *healthy)
    assert fate.fate(rows).left_out == 20 - fate.MOST_FINDINGS
    monkeypatch.setattr(fate, "MOST_COMPARED", 20)
    assert fate.fate(rows).left_out == 20 - fate.MOST_FINDINGS + 20


@pytest.mark.parametrize("bound", ["MOST_STEPS", "MOST_NODES", "MOST_EDGES"])
def test_graph_beyond_a_bound_says_how_many_paths_it_lacks(monkeypatch, bound) -> None:
    monkeypatch.setattr(merging, bound, 30)
    cut = graph.graph(measured(_wide(20, hops=4)))
    assert cut.paths
    assert sum(path.flows for path in cut.paths) + cut.cut == 20
    assert cut.cut > 0


def test_ordinary_graph_is_whole() -> None:
    assert graph.graph(measured(_wide(20, hops=4))).cut == 0
