"""Every time rule of a request, in seconds. All other modules import their limits from here.

    0 ─ jobs ─────────────────────────── 23.2 agents end ─ 23.5 jobs end ─ names, rows ─ 25

The time runs from the arrival of the request. No part of a request takes longer than `ANSWER_S`,
unless the coordinator has more to do than it can.
"""

ANSWER_S = 25.0
"""Deadline of the answer."""
LATEST_S = 28.0
"""An answer that an overloaded coordinator cannot put together in time is sent late, up to this
time. After that, the client gets an error."""
NAMES_S = 1.0
"""Longest wait for host names after the jobs have ended."""
ROWS_S, ROW_S = 0.5, 0.0002
"""Reserved to end the jobs that got no time, for statistics and for writing the answer: so long at
least, and so long a row."""
JOBS_S = ANSWER_S - NAMES_S - ROWS_S
"""Deadline of the jobs of a small request."""
AGENT_MARGIN_S = 0.3
"""An agent ends this much earlier than its job, so that its last frame arrives in time."""
LEAST_TRACE_S = 1.0
"""No trace is started with less time than this."""
STOP_S = LATEST_S + 1
"""How long a coordinator that stops waits for its running requests."""
DRAIN_S = ANSWER_S
"""How long an agent that stops waits for its running jobs."""
CLIENT_S = 60.0
"""Timeout of the operator's command: the answer's deadline, with time for a slow network."""

GATHER_S = 10.0
"""After the start, jobs for a colo that was known before wait this long for its first agent."""
JOIN_WINDOW_S = 0.2
"""A job joins an identical one that began less than this ago."""
JOIN_DIFFERENCE_S = 0.2
"""Maximum deadline difference for joining: how much later the other job may end."""

ACCEPT_S = 0.5
"""How long an offer may stay unanswered while another agent could take the job."""
SOLE_ACCEPT_S = 9.0
"""The same if no other agent could take it, and this one still sends heartbeats."""
BROKER_LOST_ACCEPT_S = 1.5
"""The same after the connection to the broker was lost: the agent may have received the offer
before, and it answers by its own stream."""
SILENCE_S = 3.0
"""How long an agent that has a job may send nothing; it sends a heartbeat each second."""
RECONNECT_S = 2.0
"""How long an agent whose stream broke has to attach again and resume its jobs."""
BACKOFF_S, MAX_BACKOFF_S = 0.1, 1.0
"""First and longest pause before a busy agent is asked again; each is twice the one before."""


def job_deadline(now: float, *, spent_s: float, rows: int = 1) -> float:
    """The deadline of a job of a request with so many rows that arrived `spent_s` before `now`."""
    return now + JOBS_S - max(0.0, rows * ROW_S - ROWS_S) - spent_s


def too_late(now: float, deadline: float) -> bool:
    """Whether a job has too little time left for another trace."""
    return deadline - now < LEAST_TRACE_S


def agent_time_ms(now: float, deadline: float) -> int:
    """The time that an agent is given for a job."""
    return int((deadline - AGENT_MARGIN_S - now) * 1000)
