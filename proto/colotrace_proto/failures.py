"""The code in a row's `error` for each failure that an agent reports."""

from .codes import RowCode
from .messages import Failure

_CODES = {
    Failure.NONE: 0,
    Failure.UNRESOLVABLE: RowCode.UNTRACEABLE,
    Failure.NO_FAMILY: RowCode.UNTRACEABLE,
    Failure.POLICY: RowCode.UNTRACEABLE,
    Failure.SEND: RowCode.UNSENT,
}


def error_code(failure: Failure) -> int:
    """The `RowCode` of the failure; 0 if the target was traced."""
    return _CODES.get(failure, RowCode.LOST)
