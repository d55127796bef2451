"""A row as it is recorded, from the result of its job."""

from collections.abc import Iterable

from colotrace_proto import rows, tally
from colotrace_proto.codes import Code, RowCode, row_failed
from colotrace_proto.measured import Options, Remark, Trace
from colotrace_proto.messages import Edge
from colotrace_proto.notices import sentence

from colotrace_coordinator.jobs.task import JobResult

LEAST_DELAY_S = 0.05
"""A delay of a row's start that is shown."""
_DELAYED = "started {:.1f} s later, because of the limit of packets a second to one target"


def recorded(
    result: JobResult | str, *, target: str, colo: rows.Colo, options: Options, now_ms: int
) -> Trace:
    """The row of a job that has just ended; a text is why the target was refused. `now_ms` is in
    milliseconds of Unix time."""
    links: tuple[Edge, ...] | None = () if options.multipath else None
    if isinstance(result, str):
        code = RowCode.UNTRACEABLE
        return Trace(
            gathered=tally.Gathered(target=target, colo=colo, code=code, links=links),
            began_ms=now_ms,
            remarks=(Remark(row_failed(code), result),),
        )
    if options.multipath:
        links = result.links
    return Trace(
        gathered=tally.Gathered(
            target=target,
            colo=colo,
            target_address=result.target_address,
            sent=result.sent,
            replies=result.replies,
            duration_ns=result.duration_ns,
            code=result.fault.code if result.fault else 0,
            unplaced=result.unplaced,
            own_ends=tally.has_own_ends(options.packet_type, multipath=options.multipath),
            links=links,
        ),
        began_ms=now_ms - result.duration_ns // 1_000_000,
        source_address=result.source_address,
        flows=result.flows,
        remarks=tuple(Remark(code, f"{colo.name}: {words}") for code, words in _remarks(result)),
    )


def _remarks(result: JobResult) -> Iterable[tuple[int, str]]:
    """Code and text of each message about a row."""
    if result.fault is not None:
        yield row_failed(result.fault.code), result.fault.words
    if result.limited_s >= LEAST_DELAY_S:
        yield Code.ROW_NOTICE, _DELAYED.format(result.limited_s)
    for words in result.moved:
        yield Code.ROW_MOVED, words
    for notice in result.notices:
        yield Code.ROW_NOTICE, sentence(notice)
