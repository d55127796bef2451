"""What the layers find out about one request, for its headers, its log line and the audit."""

import secrets
import time

from starlette.types import Scope

from .quota import Quota

CLIENT_GONE = 499
"""In log and metrics only: the client disconnected before its answer (nginx's code for it)."""


class RequestContext:
    """Filled while the request passes through the layers."""

    __slots__ = (
        "account_id",
        "began",
        "credential_id",
        "measurement_id",
        "quota",
        "request_id",
        "status",
    )

    def __init__(self, quota: Quota | None) -> None:
        self.began = time.monotonic()
        self.request_id = secrets.token_hex(8)
        self.quota = quota
        self.account_id: str | None = None
        self.credential_id: str | None = None
        self.measurement_id = ""
        """The measurement that the request began."""
        self.status: int | None = None
        """The status of the answer, once it has begun."""


def context_of(scope: Scope) -> RequestContext:
    """The context of the request with this scope."""
    found: RequestContext = scope["state"]["context"]
    return found
