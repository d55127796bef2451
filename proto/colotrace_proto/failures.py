"""Which of the API's error codes a job that failed at its agent comes to."""

from .messages import Failure

NO_AGENT, LOST, UNTRACEABLE, UNSENT = 1, 2, 3, 4
"""No agent could take it; the agent was lost or out of time; the target cannot be traced from
there; the probes could not be sent."""

_CODES = {
    Failure.UNSPECIFIED: LOST,
    Failure.NONE: 0,
    Failure.UNRESOLVABLE: UNTRACEABLE,
    Failure.NO_FAMILY: UNTRACEABLE,
    Failure.POLICY: UNTRACEABLE,
    Failure.SEND: UNSENT,
    Failure.CANCELLED: LOST,
    Failure.DEADLINE: LOST,
    Failure.INTERNAL: LOST,
}


def error_code(failure: Failure) -> int:
    """The code, 0 where the target was traced."""
    return _CODES[failure]
