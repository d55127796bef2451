"""Jobs that came by the broker before the stream to their coordinator was up."""

from colotrace_agent.link.waiting import EXPIRY_S, WaitingJobs
from colotrace_proto.messages import JobId, UnknownJob
from colotrace_proto.notices import Notice, NoticeCode
from unit.agent.fakes import job


def test_a_job_has_the_time_that_is_left() -> None:
    """Its waiting counts; an unknown job has no time."""
    waiting, unknown = WaitingJobs(), UnknownJob(JobId("x"), Notice(NoticeCode.STOPPING))
    waiting.add(job(remaining_ms=20_000), 100.0)
    waiting.add(unknown, 101.0)
    first, second = waiting.take(102.0)
    assert getattr(first, "remaining_ms", None) == 18_000
    assert second is unknown
    assert waiting.take(102.0) == []


def test_an_expired_job_is_dropped() -> None:
    """Its coordinator has moved it to another agent by then."""
    waiting = WaitingJobs()
    waiting.add(job("job-1"), 100.0)
    waiting.add(job("job-2"), 100.5)
    assert [each.job_id for each in waiting.take(100.1 + EXPIRY_S)] == [JobId("job-2")]


def test_a_cancelled_job_is_removed() -> None:
    """An unknown job id is ignored."""
    waiting = WaitingJobs()
    waiting.add(job("job-1"), 100.0)
    waiting.add(job("job-2"), 100.0)
    waiting.cancel(JobId("job-1"))
    waiting.cancel(JobId("job-9"))
    assert [each.job_id for each in waiting.take(100.0)] == [JobId("job-2")]
