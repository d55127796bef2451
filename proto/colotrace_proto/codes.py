"""The one table of the API's codes: of `errors` and `messages`, and of a row's `error`.

Codes below 1000 and from 6000 on are those of the public API, which clients know. The others belong
to this project. The guide lists them in a table.
"""

from enum import IntEnum


class Code(IntEnum):
    """The code of one element of `errors` or `messages`."""

    INTERNAL = 1000
    SCHEMA = 1001
    UNKNOWN_COLO = 1005
    BODY_TOO_LARGE = 1013
    BODY_TOO_SLOW = 1014
    OVERLOADED = 1015
    DATABASE = 1016
    LATE = 1017
    STOPPING = 1018
    NOT_HTTP = 1019
    BROKER = 1020
    COMPRESSED_BODY = 1021
    NO_MEASUREMENT = 1022
    COORDINATOR_SILENT = 1023
    NOT_ACCEPTABLE = 1024
    DAMAGED_MEASUREMENT = 1025

    # Why a token is refused: in the `error_chain` of UNKNOWN_CREDENTIALS.
    EXPIRED_TOKEN = 1026
    REVOKED_TOKEN = 1027

    ENROLMENT_REFUSED = 1028
    NOT_THERE = 1029
    CONFLICT = 1030

    # About one row, or all. For a failed row see `row_failed`.
    ROW_FAILED = 1100
    ROW_MOVED = 1110
    ROW_NOTICE = 1111

    # About the stream of a client that follows a measurement.
    EVENTS_SKIPPED = 1120

    BAD_HEADERS = 6003
    NOT_JSON = 6007
    METHOD = 7001
    NO_ROUTE = 7003
    NO_CREDENTIALS = 9106
    FORBIDDEN = 9109
    CONTENT_TYPE = 9207
    UNKNOWN_CREDENTIALS = 10000
    RATE_LIMITED = 10100


class RowCode(IntEnum):
    """The code in a row's own `error`."""

    NO_AGENT = 1
    """No agent could take the job."""
    LOST = 2
    """The agent was lost, or did not end in time."""
    UNTRACEABLE = 3
    """The target cannot be traced from there."""
    UNSENT = 4
    """The probes could not be sent."""


def row_failed(code: int) -> int:
    """The code of the message about a row that failed with a `RowCode`."""
    return Code.ROW_FAILED + code
