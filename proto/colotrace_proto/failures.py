"""Which code a row has whose job failed at its agent."""

from .codes import RowCode
from .messages import Failure

_CODES = {
    Failure.UNSPECIFIED: RowCode.LOST,
    Failure.NONE: 0,
    Failure.UNRESOLVABLE: RowCode.UNTRACEABLE,
    Failure.NO_FAMILY: RowCode.UNTRACEABLE,
    Failure.POLICY: RowCode.UNTRACEABLE,
    Failure.SEND: RowCode.UNSENT,
    Failure.CANCELLED: RowCode.LOST,
    Failure.DEADLINE: RowCode.LOST,
    Failure.INTERNAL: RowCode.LOST,
}


def error_code(failure: Failure) -> int:
    """The code, 0 where the target was traced."""
    return _CODES[failure]
