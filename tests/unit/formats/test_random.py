"""Whatever may be recorded can be written, and read again."""

import csv
import io
import json

from colotrace_formats.formats import FORMATS
from colotrace_proto import rows
from colotrace_proto.measured import Measured, Options, Remark, Status, Trace
from colotrace_proto.messages import Edge, FlowFields, Node, NodeKind, PacketType, Replies
from colotrace_proto.tally import Gathered
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from ripe.atlas.sagan import Result

from .samples import measured, written

MAX_TTL = 6
ADDRESSES = st.sampled_from([bytes([192, 0, 2, n]) for n in range(4)] + [bytes(15) + b"\1"])
LABELS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["!H", "!<13>", "!F-1400", "QTTL=0", "MPLS:L=1,E=0,S=1,T=255", "GRE", "!", ""]),
)
NODES = st.builds(
    Node, ADDRESSES, st.sampled_from(NodeKind), st.lists(LABELS, max_size=3).map(tuple)
)
TEXTS = st.text(max_size=12)


@st.composite
def replies(draw: st.DrawFn) -> Replies:
    nodes = draw(st.lists(NODES, min_size=1, max_size=5, unique=True))
    lines = draw(
        st.lists(
            st.tuples(
                st.integers(1, MAX_TTL),
                st.integers(0, 60 * 10**9),
                st.integers(0, len(nodes) - 1),
                st.integers(0, 40),
                st.integers(0, 3),
            ),
            max_size=20,
        )
    )
    columns = [tuple(column) for column in zip(*lines, strict=True)] or [()] * 5
    told = columns if draw(st.booleans()) else columns[:3]
    return Replies(*told[:3], tuple(nodes), *told[3:])


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    gathered = Gathered(
        target=draw(TEXTS),
        colo=rows.Colo(city=draw(TEXTS), name=draw(TEXTS)),
        target_address=draw(st.one_of(st.just(b""), ADDRESSES)),
        sent=draw(st.lists(st.integers(0, 10), max_size=MAX_TTL).map(tuple)),
        replies=draw(replies()),
        duration_ns=draw(st.integers(0, 2**63 - 1)),
        code=draw(st.integers(0, 4)),
        unplaced=draw(st.integers(0, 3)),
        own_ends=draw(st.booleans()),
        links=draw(st.sampled_from([None, (), (Edge(1, bytes(4), bytes(4), 2),)])),
    )
    return Trace(
        gathered=gathered,
        began_ms=draw(st.integers(0, 2**63 - 1)),
        source_address=draw(st.one_of(st.just(b""), ADDRESSES)),
        flows=draw(st.sampled_from([(), (FlowFields(None),) * 4])),
        remarks=tuple(Remark(1111, text) for text in draw(st.lists(TEXTS, max_size=2))),
    )


@st.composite
def measurements(draw: st.DrawFn) -> Measured:
    targets = draw(st.lists(TEXTS, min_size=1, max_size=2))
    colos = draw(st.lists(TEXTS, min_size=1, max_size=2, unique=True))
    places = st.integers(0, len(targets) * len(colos) - 1)
    options = Options(packet_type=draw(st.sampled_from(PacketType)), multipath=draw(st.booleans()))
    names = {f"192.0.2.{n}": draw(TEXTS) for n in range(2)}
    what = measured(
        draw(st.dictionaries(places, traces(), max_size=4)),
        targets=targets,
        colos=colos,
        options=options,
        status=draw(st.sampled_from(Status)),
        names=names,
        asns=names,
    )
    named = {
        number: replace(
            trace,
            gathered=replace(trace.gathered, target=targets[what.summary.place(number)[0]]),
        )
        for number, trace in what.traces.items()
    }
    return replace(what, traces=named)


@settings(max_examples=60, deadline=None)
@given(measurements())
def test_measurement_can_be_written_and_read(what: Measured) -> None:
    (_, *table) = list(csv.reader(io.StringIO(written("csv", what)), strict=True))
    assert len({len(row) for row in table}) <= 1
    assert len(json.loads(written("json", what))) == len(what.summary.targets)
    for name in ("mtr", "atlas", "scamper"):
        documents = [json.loads(line) for line in written(name, what).splitlines()]
        assert len(documents) == len(what.traces)
    for line in written("atlas", what).splitlines():
        assert json.loads(line)["timestamp"] >= 0
        if json.loads(line)["timestamp"] < 2**32:
            Result.get(line, on_malformation=Result.ACTION_IGNORE, on_error=Result.ACTION_IGNORE)
    for name in FORMATS:
        written(name, what).encode()
