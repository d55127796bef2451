"""A row of `colotrace-agent trace` as formats get it."""

import msgspec
from colotrace_agent.commands.recorded import recorded
from colotrace_formats.formats import FORMATS
from colotrace_proto import rows
from colotrace_proto.messages import (
    Failure,
    FlowFields,
    Frame,
    Job,
    JobId,
    Node,
    NodeKind,
    Outcome,
    PacketType,
    Replies,
)
from colotrace_proto.notices import Notice, NoticeCode, sentence
from colotrace_proto.tally import NOTHING_KNOWN, Gathered

TARGET = bytes([192, 0, 2, 9])
JOB = Job(
    job_id=JobId("www.example"),
    target="www.example",
    packet_type=PacketType.UDP,
    max_ttl=12,
    packets_per_ttl=1,
    wait_ms=1_500,
    port=53,
    flow=4,
    remaining_ms=1,
)
FRAME = Frame(
    JOB.job_id,
    1,
    target_address=TARGET,
    sent=(1,),
    replies=Replies((1,), (2_000_000,), (0,), (Node(TARGET, NodeKind.TARGET),), (0,), (0,)),
    outcome=Outcome(Failure.NONE, notices=(Notice(NoticeCode.NO_TIME_FOR_FLOWS),)),
    source_address=bytes([192, 0, 2, 1]),
    flows=(FlowFields(PacketType.UDP, source_port=40_000, destination_port=53),),
)
GATHERED = Gathered(
    target="www.example",
    colo=rows.Colo(city="", name="local"),
    target_address=TARGET,
    sent=FRAME.sent,
    replies=FRAME.replies,
    duration_ns=250_000_000,
)


def test_row_is_a_measurement_of_one_target_and_colo() -> None:
    what = recorded(GATHERED, FRAME, JOB, ended_ms=10_250, known=NOTHING_KNOWN)
    (trace,) = what.of_target(0)
    assert (what.summary.targets, what.summary.colos) == (("www.example",), ("local",))
    assert (what.summary.began_ms, trace.began_ms, what.summary.ended_ms) == (
        10_000,
        10_000,
        10_250,
    )
    options = what.summary.options
    assert (options.packet_type, options.max_ttl, options.wait_ms) == (PacketType.UDP, 12, 1_500)
    assert (options.port, options.flow, options.packets_per_ttl) == (53, 4, 1)
    assert (trace.source_address, trace.flows) == (FRAME.source_address, FRAME.flows)


def test_notices_are_remarks_in_words() -> None:
    cause = Notice(NoticeCode.CANCELLED_EARLY)
    outcome = msgspec.structs.replace(FRAME.outcome, failure=Failure.CANCELLED, cause=cause)
    frame = msgspec.structs.replace(FRAME, outcome=outcome)
    gathered = msgspec.structs.replace(GATHERED, code=2)
    what = recorded(gathered, frame, JOB, ended_ms=10_250, known=NOTHING_KNOWN)
    remarks = [(remark.code, remark.text) for remark in what.traces[0].remarks]
    assert remarks == [
        (1102, sentence(cause)),
        (1111, sentence(Notice(NoticeCode.NO_TIME_FOR_FLOWS))),
    ]


def test_every_format_can_write_it() -> None:
    what = recorded(GATHERED, FRAME, JOB, ended_ms=10_250, known=NOTHING_KNOWN)
    assert all("192.0.2.9" in "".join(form.render(what)) for form in FORMATS.values())
