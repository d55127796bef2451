"""The route that measures: each check in the contract's order, then the fan-out."""

import asyncio
import time
from collections.abc import Sequence

import msgspec
from colotrace_proto.codes import Code
from colotrace_proto.rows import TargetRow
from colotrace_proto.running import TimeLimit
from starlette.requests import Request
from starlette.responses import Response

from colotrace_coordinator.deadlines import ANSWER_S
from colotrace_coordinator.model import Message, Tracer, TraceRequest
from colotrace_coordinator.store.audit import Audit, AuditEntry
from colotrace_coordinator.store.credentials import Permission

from .auth import Authenticator, authorize
from .body import read_json_bytes
from .colos import choose
from .edge import CLIENT_GONE, facts
from .envelope import answer
from .errors import describe
from .measure import Admission, measure
from .request import parse

NO_COLO = Message(
    Code.ROW_FAILED,
    "No colo is known, since no agent has ever attached; start one with: "
    "colotrace-agent run --coordinator HOST:PORT --colo den01 --city CITY",
    "/result",
)


async def identify(
    request: Request, account_id: str, *, who: Authenticator, any_of: Sequence[Permission]
) -> None:
    """Credentials and account: the checks that every route of an account begins with."""
    found = facts(request.scope)
    address = request.client.host if request.client else ""
    credential, found.quota = await who.authenticate(request.headers, address)
    found.credential_id, found.account_id = credential.id, account_id
    authorize(credential, account_id, any_of=any_of)


class Traceroute:
    """POST …/diagnostics/traceroute."""

    def __init__(
        self,
        tracer: Tracer,
        *,
        who: Authenticator,
        audit: Audit | None,
        admission: Admission,
        within_s: float = ANSWER_S,
        limit: TimeLimit = asyncio.timeout,
    ) -> None:
        self._tracer = tracer
        self._who = who
        self._audit = audit
        self._admission = admission
        self._within_s = within_s
        self._limit = limit

    async def __call__(self, account_id: str, request: Request) -> Response:
        """Measure, and answer."""
        await identify(request, account_id, who=self._who, any_of=[Permission.TRACEROUTE])
        body = parse(await read_json_bytes(request))
        colos = choose(body.colos, self._tracer.colos())
        # The client has waited since its request began to arrive.
        spent_s = time.monotonic() - facts(request.scope).began
        asked = TraceRequest(
            account_id, tuple(body.targets), colos, body.options.plain(), spent_s=spent_s
        )
        if not colos:
            return answer([TargetRow(target=t, colos=[]) for t in asked.targets], [NO_COLO])
        began, status = time.monotonic(), CLIENT_GONE
        try:
            with self._admission.enter():
                left_s = self._within_s - spent_s
                got = await measure(
                    self._tracer, asked, request=request, within_s=left_s, limit=self._limit
                )
            status = 200
            return answer(got.rows, got.messages)
        except Exception as error:
            status = describe(error, path="").status
            raise
        finally:
            self._record(request, asked, status=status, seconds=time.monotonic() - began)

    def _record(
        self, request: Request, asked: TraceRequest, *, status: int, seconds: float
    ) -> None:
        if self._audit is None:
            return
        found = facts(request.scope)
        credential_id = found.credential_id or ""
        self._audit.used(credential_id)
        self._audit.record(
            AuditEntry(
                at=int(time.time()),
                request_id=found.request_id,
                account_id=asked.account_id,
                credential_id=credential_id,
                client=(request.client.host if request.client else "")[:64],
                status=status,
                duration_ms=round(seconds * 1_000),
                targets=msgspec.json.encode(asked.targets).decode(),
                colos=msgspec.json.encode(asked.colos).decode(),
                options=msgspec.json.encode(asked.options).decode(),
            )
        )
