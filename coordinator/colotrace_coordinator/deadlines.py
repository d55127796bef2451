"""How the time of one answer is divided, in seconds from the request's arrival.

    0 ─ jobs ─────────────────────────────── 23.2 agents end ─ 23.5 jobs end ─ names, rows ─ 25

Nothing of a request is waited for beyond `ANSWER_S`.
"""

ANSWER_S = 25.0
"""The answer is out."""
JOBS_S = 23.5
"""Jobs end; what is left is for names and rows."""
NAMES_S = 1.0
"""How long an answer waits for names at most, once its jobs have ended."""
AGENT_MARGIN_S = 0.3
"""How much earlier than the job the agent must end, so that its last frame is here in time."""
LEAST_TRACE_S = 1.0
"""A trace that has less time than this is not begun."""
STOP_S = ANSWER_S + 1
"""A coordinator that is told to stop lets the requests end that it has, which takes this long."""
