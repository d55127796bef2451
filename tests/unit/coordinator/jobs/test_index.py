"""The index of live attempts."""

from colotrace_coordinator.jobs.index import LiveAttempts
from colotrace_proto.messages import JobId
from unit.coordinator.jobs.virtual import Clockwork, key

J1, J2 = JobId("j1"), JobId("j2")
A, B = key("a"), key("b")


def test_jobs_are_found_by_id_and_by_agent() -> None:
    index: LiveAttempts[str] = LiveAttempts()
    index.add(J1, A, "first")
    index.add(J2, A, "second")
    assert (index.get(J1), index.get(J2), index.get(JobId("j3"))) == ("first", "second", None)
    assert index.of_agent(A) == ("first", "second")
    assert (index.load(A), index.load(B), len(index)) == (2, 0, 2)


def test_job_that_moves_is_its_new_agents() -> None:
    index: LiveAttempts[str] = LiveAttempts()
    index.add(J1, A, "first")
    index.move(J1, A, B)
    assert index.get(J1) == "first"
    assert (index.of_agent(A), index.of_agent(B)) == ((), ("first",))


def test_removed_job_leaves_nothing() -> None:
    index: LiveAttempts[str] = LiveAttempts()
    index.add(J1, A, "first")
    index.remove(J1, A)
    assert (len(index), index.get(J1), index.load(A)) == (0, None, 0)


def test_jobs_of_an_agent_outlive_its_stream() -> None:
    """The same process that attaches again has the load that it had."""
    run = Clockwork("a")
    run.detach("a")
    assert run.index.load(A) == 1
    run.back("a", run.job_id)
    assert run.index.load(A) == 1
