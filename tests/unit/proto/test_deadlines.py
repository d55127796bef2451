"""The time rules of a request fit into the deadline of its answer."""

from colotrace_proto import deadlines as rules


def test_parts_fill_the_answers_time() -> None:
    assert rules.JOBS_S + rules.NAMES_S + rules.ROWS_S == rules.ANSWER_S == 25


def test_time_to_arrive_counts_against_the_job() -> None:
    assert rules.job_deadline(100.0, spent_s=2.0) == 100.0 + rules.JOBS_S - 2.0


def test_many_rows_leave_their_jobs_less_time() -> None:
    """Their statistics and their writing take longer."""
    assert rules.job_deadline(0.0, spent_s=0.0, rows=25_000) == rules.JOBS_S - 4.5


def test_agent_ends_before_its_job() -> None:
    """So that its last frame arrives in time."""
    assert rules.agent_time_ms(0.0, rules.JOBS_S) == 23_200


def test_no_trace_is_started_without_time_for_it() -> None:
    assert rules.too_late(rules.JOBS_S - rules.LEAST_TRACE_S + 0.1, rules.JOBS_S)
    assert not rules.too_late(rules.JOBS_S - rules.LEAST_TRACE_S, rules.JOBS_S)


def test_a_lost_agent_leaves_time_for_another() -> None:
    """The longest wait for one agent, and a whole trace after it."""
    longest_s = rules.SOLE_ACCEPT_S + max(rules.SILENCE_S, rules.RECONNECT_S)
    assert longest_s + rules.LEAST_TRACE_S < rules.JOBS_S
