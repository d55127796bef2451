"""A job begins once at most."""

import pytest
from colotrace_agent.link import remembered as remembered_module
from colotrace_agent.link.remembered import REMEMBERED_S, Remembered
from colotrace_proto.messages import JobId


def test_what_comes_again_is_not_new() -> None:
    """Nor what was taken back before."""
    jobs = Remembered()
    assert jobs.add(JobId("a"), 0.0)
    assert not jobs.add(JobId("a"), 1.0)
    assert jobs.add(JobId("b"), 1.0)


def test_it_is_forgotten_when_no_job_lives_so_long() -> None:
    """Counted from when it came first."""
    jobs = Remembered()
    jobs.add(JobId("a"), 0.0)
    jobs.add(JobId("a"), REMEMBERED_S - 1)
    jobs.add(JobId("b"), REMEMBERED_S - 1)
    assert len(jobs) == 2
    assert jobs.add(JobId("c"), REMEMBERED_S)
    assert len(jobs) == 2
    assert jobs.add(JobId("a"), REMEMBERED_S)


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the oldest is forgotten."""
    monkeypatch.setattr(remembered_module, "MOST", 3)
    jobs = Remembered()
    for name in "abcdef":
        assert jobs.add(JobId(name), 0.0)
    assert len(jobs) == 3
    assert not jobs.add(JobId("f"), 0.0)
    assert jobs.add(JobId("a"), 0.0)
