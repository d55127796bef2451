"""Jobs, their acceptance, refusal, cancellation and acknowledgement."""

from colotrace_proto import messages as m
from colotrace_proto.identifiers import is_address
from colotrace_proto.notices import Notice, NoticeCode
from colotrace_proto.v1 import fleet_pb2 as pb

from .checks import PACKET_TYPES, PACKET_TYPES_IN, ProtocolError, fields_of, job_id, known
from .notices import notice_in, notice_out, text_of

_FAMILIES = frozenset(map(int, m.Family))


def job_out(job: m.Job) -> pb.Job:
    owner = pb.Owner(**job.owner._asdict()) if job.owner is not None else None
    kind, family = PACKET_TYPES[job.packet_type], job.family or 0
    return pb.Job(**fields_of(job, packet_type=kind, owner=owner, family=family))


def job_in(job: pb.Job) -> m.Job | m.UnknownJob:
    """The job; with a value that is not known here, perhaps of a newer coordinator, a job to
    refuse."""
    if job.reply_to and not is_address(job.reply_to):
        raise ProtocolError("Job.reply_to is not HOST:PORT")
    notice = _unknown(job)
    if notice is not None:
        return m.UnknownJob(job_id(job.job_id), notice, job.reply_to)
    return m.Job(
        job_id=job_id(job.job_id),
        target=job.target,
        packet_type=PACKET_TYPES_IN[job.packet_type],
        max_ttl=job.max_ttl,
        packets_per_ttl=job.packets_per_ttl,
        wait_ms=job.wait_ms,
        port=job.port,
        flow=job.flow,
        remaining_ms=min(job.remaining_ms, m.MAX_REMAINING_MS),
        multipath=job.multipath,
        reply_to=job.reply_to,
        owner=m.Owner(job.owner.account, job.owner.caller) if job.HasField("owner") else None,
        family=m.Family(job.family) if job.family else None,
    )


def _unknown(job: pb.Job) -> Notice | None:
    """The first value of the job that is not known here."""
    if job.packet_type not in PACKET_TYPES_IN:
        return Notice(NoticeCode.UNKNOWN_PACKET_TYPE, count=job.packet_type)
    if job.family and job.family not in _FAMILIES:
        return Notice(NoticeCode.UNKNOWN_FAMILY, count=job.family)
    for name, value, least, most in (
        ("max_ttl", job.max_ttl, 1, m.MAX_TTL),
        ("packets_per_ttl", job.packets_per_ttl, 1, m.MAX_PACKETS_PER_TTL),
        ("wait_ms", job.wait_ms, 1, m.MAX_WAIT_MS),
        ("port", job.port, 0, m.MAX_PORT),
    ):
        if not least <= value <= most:
            code = NoticeCode.OUT_OF_RANGE
            return Notice(code, name=name, count=value, least=least, most=most)
    if not 1 <= len(job.target) <= m.MAX_TARGET:
        return Notice(NoticeCode.TARGET_LENGTH, least=1, most=m.MAX_TARGET)
    return None


def accepted_in(accepted: pb.Accepted) -> m.Accepted:
    return m.Accepted(job_id(accepted.job_id))


def cancel_in(cancel: pb.Cancel) -> m.Cancel:
    return m.Cancel(job_id(cancel.job_id))


def refused_out(refused: m.Refused) -> pb.Refused:
    detail, notice = text_of(refused.notice), notice_out(refused.notice)
    return pb.Refused(**fields_of(refused, detail=detail, notice=notice))


def refused_in(refused: pb.Refused) -> m.Refused:
    notice = refused.notice if refused.HasField("notice") else None
    reason = known(m.RefusalReason, refused.reason)
    return m.Refused(job_id(refused.job_id), reason, notice_in(notice, text=refused.detail))


def ack_out(ack: m.Ack) -> pb.Ack:
    return pb.Ack(**fields_of(ack))


def ack_in(ack: pb.Ack) -> m.Ack:
    return m.Ack(job_id(ack.job_id), ack.sequence)
