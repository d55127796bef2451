"""Rows are stored bit by bit."""

from contextlib import suppress

import msgspec
import pytest
from colotrace_coordinator.store.history.heads import (
    blob_of,
    body_of,
    body_steps,
    chunk_of,
    head_of,
    known_steps,
    summary_of,
)
from colotrace_coordinator.store.history.packing import Chunk, pack, unpack
from colotrace_coordinator.store.history.seal import DamageError
from colotrace_proto.measured import Options, Remark, Status, Summary, Trace
from colotrace_proto.messages import (
    ColoName,
    Edge,
    Family,
    FlowFields,
    Node,
    NodeKind,
    PacketType,
    Replies,
)
from colotrace_proto.rows import Colo
from colotrace_proto.tally import Gathered, Known
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import complete, known, row, summary

ADDRESS = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
NODES = st.lists(
    st.builds(Node, ADDRESS, st.sampled_from(NodeKind), st.lists(st.text(max_size=9)).map(tuple)),
    max_size=9,
)
U16, U32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
RTT_NS = st.integers(0, 60 * 10**9)
MAX_MS = 10**14
"""Times beyond this are taken for damage."""
TRACE_COUNT = 6
ASKED = summary(targets=["192.0.2.1", "täst.example"], colos=["den01", "sin01", "x1"])


@st.composite
def replies(draw: st.DrawFn) -> Replies:
    nodes = draw(NODES)
    count = draw(st.integers(0, 20)) if nodes else 0
    column = lambda numbers: tuple(draw(st.lists(numbers, min_size=count, max_size=count)))  # noqa: E731
    newer = draw(st.booleans())
    return Replies(
        column(st.integers(1, 64)),
        column(RTT_NS),
        column(st.integers(0, len(nodes) - 1)) if nodes else (),
        tuple(nodes),
        column(U16) if newer else (),
        column(U16) if newer else (),
    )


@st.composite
def traces(draw: st.DrawFn) -> dict[int, Trace]:
    numbers = draw(st.permutations(range(ASKED.rows)).map(lambda n: n[: len(n) // 2 + 1]))
    return {number: draw(_trace(number)) for number in numbers}


def _trace(number: int) -> st.SearchStrategy[Trace]:
    target, colo = ASKED.place(number)
    links = st.lists(st.builds(Edge, U16, ADDRESS, ADDRESS, U16), max_size=4).map(tuple)
    flow = st.builds(FlowFields, st.none() | st.sampled_from(PacketType), U16, U16, U16, U32, U32)
    gathered = st.builds(
        Gathered,
        target=st.just(ASKED.targets[target]),
        colo=st.builds(Colo, city=st.text(max_size=9), name=st.just(ASKED.colos[colo])),
        target_address=st.just(b"") | ADDRESS,
        sent=st.lists(st.integers(0, 1_000), max_size=64).map(tuple),
        replies=replies(),
        duration_ns=st.integers(0, 2**63 - 1),
        code=st.integers(0, 4),
        unplaced=U16,
        own_ends=st.booleans(),
        links=st.none() | links,
    )
    return st.builds(
        Trace,
        gathered=gathered,
        began_ms=st.integers(0, 2**62),
        source_address=st.just(b"") | ADDRESS,
        flows=st.lists(flow, max_size=3).map(tuple),
        remarks=st.lists(st.builds(Remark, code=U16, text=st.text()), max_size=3).map(tuple),
    )


@settings(max_examples=40)
@given(traces())
def test_packed_rows_are_read_as_they_were(rows: dict[int, Trace]) -> None:
    chunk = chunk_of(blob_of(pack(ASKED, rows)))
    assert unpack(ASKED, chunk) == rows
    for number, trace in rows.items():
        assert unpack(ASKED, chunk, only=number) == {number: trace}


@given(
    st.builds(
        Summary,
        id=st.just("0" * 32),
        account_id=st.just("a1"),
        caller=st.text(max_size=9),
        coordinator=st.one_of(st.text(max_size=9), st.just("0af1" * 8), st.just("0AF1" * 8)),
        status=st.sampled_from(Status),
        began_ms=st.integers(0, MAX_MS),
        ended_ms=st.none() | st.integers(0, MAX_MS),
        targets=st.lists(st.text(max_size=9)).map(tuple),
        colos=st.lists(st.text(max_size=9).map(ColoName)).map(tuple),
        options=st.builds(
            Options,
            packet_type=st.sampled_from(PacketType),
            max_ttl=U16,
            packets_per_ttl=U16,
            wait_ms=U16,
            port=U16,
            flow=U32,
            multipath=st.booleans(),
            family=st.none() | st.sampled_from(Family),
        ),
        finished=U32,
        failed=U32,
        unreached=U32,
    )
)
def test_summary_is_read_as_it_was(told: Summary) -> None:
    assert summary_of(told.id, told.account_id, head_of(told)) == told


TEXTS = st.one_of(
    st.ip_addresses().map(str), st.sampled_from(["::ffff:192.0.2.1", "FE80::1", "1.2", "\0"])
)


def read(told: Known, chunk: Chunk | None) -> Known:
    """What is read of the names and ASNs after they were written."""
    *_, body = body_steps(chunk, told)
    *_, known = known_steps(body_of(blob_of(body)))
    return known


@given(st.dictionaries(TEXTS, st.text(max_size=9)), st.dictionaries(TEXTS, st.text(max_size=9)))
def test_names_and_asns_are_read_as_they_were(names: dict[str, str], asns: dict[str, str]) -> None:
    told = Known(names, asns)
    assert read(told, None) == told


def test_names_are_read_in_any_number_and_order() -> None:
    rows = {number: row(ASKED, number) for number in range(ASKED.rows)}
    many = known([row(ASKED, 0, seed=seed) for seed in range(100)])
    own = known(list(rows.values()))
    for told in (many, own, Known(many.names | own.names, own.asns), Known({}, own.asns)):
        assert read(told, pack(ASKED, rows)) == told


@given(st.data())
def test_damaged_blob_is_said_to_be_damaged(data: st.DataObject) -> None:
    """Any byte that is changed or missing."""
    blob = blob_of(pack(ASKED, {0: row(ASKED)}))
    place = data.draw(st.integers(0, len(blob) - 1))
    other = data.draw(st.integers(1, 255))
    with pytest.raises(DamageError):
        chunk_of(blob[:place])
    with pytest.raises(DamageError):
        chunk_of(blob[:place] + bytes([blob[place] ^ other]) + blob[place + 1 :])


@given(st.data())
def test_contradicting_chunk_is_said_to_be_damaged(data: st.DataObject) -> None:
    """A blob with a valid checksum and other contents is read, or refused with that error."""
    shape = msgspec.to_builtins(pack(ASKED, {0: row(ASKED), 4: row(ASKED, 4)}))
    place = data.draw(st.integers(0, len(shape) - 1))
    shape[place] = data.draw(
        st.sampled_from([(1, b"\xff"), (2, b"123"), (3, b""), (1, b""), b"", (), {}])
    )
    try:
        chunk = msgspec.convert(shape, Chunk)
    except msgspec.ValidationError:
        return
    if chunk != pack(ASKED, {0: row(ASKED), 4: row(ASKED, 4)}):
        with suppress(DamageError):
            unpack(ASKED, chunk)


def test_row_of_15_hops_takes_less_than_half_a_kilobyte() -> None:
    """Without names: the least that a row takes, and 64 of them together."""
    assert len(blob_of(pack(ASKED, {0: row(ASKED)}))) < 470
    wide = summary(colos=[f"den{number:02}" for number in range(64)])
    rows = {number: row(wide, number) for number in range(64)}
    assert len(blob_of(pack(wide, rows))) / 64 < 320


def test_summary_of_a_measurement_that_ended() -> None:
    told = complete(ASKED, failed=2, unreached=1)
    assert summary_of(told.id, told.account_id, head_of(told)) == told
