"""How the time of one answer is divided, in seconds from the request's arrival.

    0 ─ jobs ─────────────────────────────── 23.2 agents end ─ 23.5 jobs end ─ names, rows ─ 25

No part of a request takes longer than `ANSWER_S`.
"""

ANSWER_S = 25.0
"""The deadline of the answer."""
JOBS_S = 23.5
"""The deadline of its jobs; the rest of the time is for names and rows."""
NAMES_S = 1.0
"""The longest wait for names after the jobs have ended."""
AGENT_MARGIN_S = 0.3
"""The agent ends this much earlier than the job, so that its last frame arrives in time."""
LEAST_TRACE_S = 1.0
"""A trace is not started with less time than this."""
STOP_S = ANSWER_S + 1
"""How long a coordinator that is stopping waits for its running requests."""
