"""Every reason why a request fails, and how each is answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from colotrace_proto.codes import Code
from starlette.exceptions import HTTPException

from colotrace_coordinator.authority.authority import SigningRequestError
from colotrace_coordinator.errors import (
    BrokerUnreachableError,
    CoordinatorError,
    DamagedMeasurementError,
    EnrolmentRefusedError,
    NameTakenError,
    NoAuthorityError,
    NotEnrolledError,
    StillAttachedError,
    StoppingError,
    StoreError,
    TooManyTokensError,
    UnknownIdError,
)
from colotrace_coordinator.lines import Cause, Line, line
from colotrace_coordinator.model import Message
from colotrace_coordinator.store.credentials import Lapse, Lapsed

from .quota import Quota

MAX_BODY = 65_536
MAX_ERRORS = 100
"""In one answer. A body can have more faults."""

_MAX_PATH_SHOWN = 200


class ApiError(CoordinatorError):
    """A request that is answered with an error. `quota` is what the credential has left."""

    quota: Quota | None = None


class NoRouteError(ApiError):
    """No route has this path, or the path's account id is malformed."""


class NoCredentialsError(ApiError):
    """The request has no credentials."""


class NoTokenError(ApiError):
    """The request is about its token, and has none."""


class MalformedCredentialsError(ApiError):
    """The headers of credentials are malformed."""

    def __init__(self, causes: Sequence[Cause]) -> None:
        super().__init__(", ".join(cause.message for cause in causes))
        self.causes = causes


class UnknownCredentialsError(ApiError):
    """The token or key is unknown."""


class LapsedTokenError(ApiError):
    """The token was valid earlier. The client is told so, since it has sent the whole token."""

    def __init__(self, token: Lapsed) -> None:
        super().__init__(token.why.value)
        self.token = token


class ForbiddenError(ApiError):
    """The token or key is valid, but does not have this permission."""


class RateLimitedError(ApiError):
    """Too many requests, until `left.reset_s` from now."""

    def __init__(self, left: Quota) -> None:
        super().__init__(f"retry after {left.reset_s} s")
        self.quota = self.left = left


class UnsupportedContentError(ApiError):
    """The Content-Type of the body is not JSON."""


class EncodedBodyError(ApiError):
    """The body is compressed, or has another content coding."""


class BodyTooLargeError(ApiError):
    """The body is larger than `MAX_BODY` bytes."""


class BodyTimeoutError(ApiError):
    """The body did not arrive in time."""


class MalformedJsonError(ApiError):
    """The body is not JSON."""


class InvalidBodyError(ApiError):
    """The body is JSON, but does not match the schema; one message for each fault."""

    def __init__(self, faults: Sequence[Message]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


class UnknownColosError(ApiError):
    """Entries of the request's colos mean no colo; one message for each of them."""

    def __init__(self, faults: Sequence[Message]) -> None:
        super().__init__(f"{len(faults)} unknown colos")
        self.faults = faults


class MalformedRequestError(ApiError):
    """The received bytes are not HTTP."""


class OverloadedError(ApiError):
    """The coordinator answers its maximum of concurrent requests."""


class TooManyMeasurementsError(ApiError):
    """The account or the credential has its share of the concurrent measurements."""


class TooManyWatchersError(ApiError):
    """The account has its share of the open streams."""


class TooManyReadsError(ApiError):
    """The account has its share of the kept rows that are being read."""


class TooManyConnectionsError(ApiError):
    """The maximum of connections is open, in total or from one address."""


class NotAcceptableError(ApiError):
    """The client accepts none of the forms of an answer; `offered` are their media types."""

    def __init__(self, offered: Sequence[str]) -> None:
        super().__init__(", ".join(offered))
        self.offered = offered


class NoMeasurementError(ApiError):
    """The account has no measurement with this id, or it is no longer kept."""


class UnreachableMeasurementError(ApiError):
    """The measurement runs on another coordinator, which does not answer."""


class EnrolmentMalformedError(ApiError):
    """The body of a request to join or renew is malformed; the text says where."""


class EnrolmentsLimitedError(ApiError):
    """The address, or all together, have sent too many requests to join or renew."""


class LateAnswerError(ApiError):
    """The measurement did not end before its deadline."""


@dataclass(frozen=True, slots=True)
class Described:
    """How an error is answered."""

    status: int
    errors: list[Line]
    headers: dict[str, str] = field(default_factory=dict)


def describe(error: Exception, *, path: str) -> Described:
    """How the error is answered. An error that is not listed here is a 500 without details."""
    match error:
        case NoRouteError():
            return _no_route(path)
        case HTTPException():
            return _from_starlette(error, path)
        case MalformedCredentialsError():
            causes = list(error.causes)
            text = "Invalid request headers"
            return Described(400, [Line(code=Code.BAD_HEADERS, message=text, error_chain=causes)])
        case LapsedTokenError():
            causes = [_LAPSES[error.token.why]]
            known = Line(
                code=Code.UNKNOWN_CREDENTIALS, message=_NOT_AUTHENTICATED, error_chain=causes
            )
            return Described(401, [known])
        case RateLimitedError():
            text = "Please wait and consider throttling your request speed"
            return _one(429, Code.RATE_LIMITED, text, {"Retry-After": str(error.left.reset_s)})
        case NotAcceptableError():
            return _one(406, Code.NOT_ACCEPTABLE, f"Accept has none of {error}")
        case UnknownIdError():
            return _one(404, Code.NOT_THERE, str(error))
        case (
            NameTakenError()
            | NotEnrolledError()
            | StillAttachedError()
            | NoAuthorityError()
            | TooManyTokensError()
        ):
            return _one(409, Code.CONFLICT, str(error))
        case EnrolmentRefusedError():
            return _one(403, Code.ENROLMENT_REFUSED, str(error))
        case EnrolmentMalformedError() | SigningRequestError():
            return _one(400, Code.SCHEMA, str(error))
        case InvalidBodyError() | UnknownColosError():
            return Described(400, [line(fault) for fault in error.faults[:MAX_ERRORS]])
    return next(_FIXED[kind] for kind in type(error).__mro__ if kind in _FIXED)


def schema_fault(text: str, at: str) -> Message:
    """A violation of the body's schema at a JSON pointer."""
    return Message(Code.SCHEMA, text, at)


def _from_starlette(error: HTTPException, path: str) -> Described:
    if error.status_code == 404:
        return _no_route(path)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # Starlette joins a set, whose order differs between processes.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
        return _one(405, Code.METHOD, "Method not allowed for this route", headers)
    return _one(error.status_code, Code.INTERNAL, str(error.detail), headers)


def _no_route(path: str) -> Described:
    shown = path if len(path) <= _MAX_PATH_SHOWN else path[:_MAX_PATH_SHOWN] + "…"
    text = f"Could not route to {shown}, perhaps your object identifier is invalid?"
    return _one(404, Code.NO_ROUTE, text)


def _one(status: int, code: Code, text: str, headers: dict[str, str] | None = None) -> Described:
    return Described(status, [Line(code=code, message=text)], headers or {})


_NOT_AUTHENTICATED = "Authentication error"
_LAPSES = {
    Lapse.EXPIRED: Cause(Code.EXPIRED_TOKEN, "The token has expired"),
    Lapse.REVOKED: Cause(Code.REVOKED_TOKEN, "The token was revoked"),
}
_CLOSE = {"Connection": "close"}
_FIXED: dict[type, Described] = {
    NoCredentialsError: _one(
        400, Code.NO_CREDENTIALS, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"
    ),
    NoTokenError: _one(400, Code.NO_CREDENTIALS, "Missing Authorization header with a token"),
    UnknownCredentialsError: _one(401, Code.UNKNOWN_CREDENTIALS, _NOT_AUTHENTICATED),
    ForbiddenError: _one(403, Code.FORBIDDEN, "Unauthorized to access requested resource"),
    UnsupportedContentError: _one(415, Code.CONTENT_TYPE, "Content-type must be application/json."),
    EncodedBodyError: _one(
        415,
        Code.COMPRESSED_BODY,
        "Request body must not be compressed; send it without Content-Encoding",
        {"Accept-Encoding": "identity"},  # RFC 9110, section 12.5.3
    ),
    BodyTooLargeError: _one(
        413, Code.BODY_TOO_LARGE, f"Request body is larger than {MAX_BODY} bytes", _CLOSE
    ),
    BodyTimeoutError: _one(408, Code.BODY_TOO_SLOW, "Request body did not arrive in time", _CLOSE),
    MalformedJsonError: _one(400, Code.NOT_JSON, "Malformed JSON in request body"),
    MalformedRequestError: _one(400, Code.NOT_HTTP, "Malformed HTTP request", _CLOSE),
    TooManyConnectionsError: _one(
        503,
        Code.OVERLOADED,
        "As many connections are open, in all or from one address, as may be",
        _CLOSE,
    ),
    OverloadedError: _one(
        503, Code.OVERLOADED, "The coordinator is answering as many requests as it can"
    ),
    TooManyMeasurementsError: _one(
        429,
        Code.RATE_LIMITED,
        "As many requests of this token, key or account are being answered as its share allows; "
        "wait for some of them, or retry later",
        {"Retry-After": "1"},
    ),
    TooManyWatchersError: _one(
        429,
        Code.RATE_LIMITED,
        "As many clients of this account follow measurements as its share allows; end some of "
        "them, or retry later",
        {"Retry-After": "5"},
    ),
    TooManyReadsError: _one(
        429,
        Code.RATE_LIMITED,
        "As many rows of this account's measurements are being read as its share allows; wait for "
        "some of the answers, or retry later",
        {"Retry-After": "1"},
    ),
    # The texts of the next two may name the host of the database or broker, which belongs in the
    # log only.
    DamagedMeasurementError: _one(
        500,
        Code.DAMAGED_MEASUREMENT,
        "What the database has of this measurement is damaged; DELETE removes it",
    ),
    StoreError: _one(503, Code.DATABASE, "The coordinator's database does not answer"),
    BrokerUnreachableError: _one(
        503, Code.BROKER, "The coordinator does not reach its MQTT broker"
    ),
    StoppingError: _one(503, Code.STOPPING, "The coordinator is stopping"),
    NoMeasurementError: _one(
        404,
        Code.NO_MEASUREMENT,
        "The account has no measurement with this id; it may have been removed, or no longer be "
        "kept",
    ),
    UnreachableMeasurementError: _one(
        503,
        Code.COORDINATOR_SILENT,
        "The coordinator that runs the measurement does not answer; try again in a few seconds",
    ),
    EnrolmentsLimitedError: _one(
        429,
        Code.RATE_LIMITED,
        "Too many requests to join or renew; wait some seconds",
        {"Retry-After": "5"},
    ),
    LateAnswerError: _one(
        504,
        Code.LATE,
        "The coordinator is overloaded and could not answer in time; ask for less at once, or run "
        "more coordinators",
    ),
    Exception: _one(
        500, Code.INTERNAL, "Internal error; the log has it under this answer's cf-ray"
    ),
}
"""The answers that do not depend on the request. A subclass is answered as its nearest base."""
