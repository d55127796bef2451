"""A target's row as a measurement, which formats render.

A trace without a coordinator has no id and no account, and one row.
"""

from colotrace_proto.codes import Code, row_failed
from colotrace_proto.measured import Measured, Options, Remark, Status, Summary, Trace
from colotrace_proto.messages import ColoName, Frame, Job
from colotrace_proto.notices import Notice, sentence
from colotrace_proto.tally import Gathered, Known


def recorded(
    gathered: Gathered, frame: Frame, job: Job, *, ended_ms: int, known: Known
) -> Measured:
    """The row of a job's only frame. `ended_ms` is in milliseconds of Unix time."""
    began_ms = ended_ms - round(gathered.duration_ns / 1e6)
    trace = Trace(
        gathered=gathered,
        began_ms=began_ms,
        source_address=frame.source_address,
        flows=frame.flows,
        remarks=tuple(_remarks(gathered, frame)),
    )
    summary = Summary(
        id="",
        account_id="",
        caller="",
        coordinator="",
        status=Status.COMPLETE,
        began_ms=began_ms,
        ended_ms=ended_ms,
        targets=(gathered.target,),
        colos=(ColoName(gathered.colo.name),),
        options=Options(
            packet_type=job.packet_type,
            max_ttl=job.max_ttl,
            packets_per_ttl=job.packets_per_ttl,
            wait_ms=job.wait_ms,
            port=job.port,
            flow=job.flow,
            multipath=job.multipath,
            family=job.family,
        ),
        finished=1,
        failed=int(gathered.code != 0),
    )
    return Measured(summary=summary, traces={0: trace}, known=known)


def _remarks(gathered: Gathered, frame: Frame) -> list[Remark]:
    outcome = frame.outcome
    if outcome is None:
        return []
    told: list[tuple[int, Notice]] = [(Code.ROW_NOTICE, notice) for notice in outcome.notices]
    if outcome.cause is not None:
        told.insert(0, (row_failed(gathered.code), outcome.cause))
    return [Remark(code, sentence(notice)) for code, notice in told]
