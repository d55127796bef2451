"""What a client did, as an entry of the audit."""

import time

import msgspec
from colotrace_proto.measured import Summary
from starlette.requests import Request

from colotrace_coordinator.model import TraceRequest
from colotrace_coordinator.store.audit import Action, Audit, AuditEntry

from .context import context_of

_MOST_OF_CLIENT = 64


class Auditor:
    """Writes entries to the audit, if there is one."""

    def __init__(self, audit: Audit | None) -> None:
        self._audit = audit

    def record(
        self,
        request: Request,
        action: Action,
        what: TraceRequest | Summary,
        *,
        measurement_id: str,
        status: int = 200,
    ) -> None:
        """Queue an entry, and note that the request's credential was used. `measurement_id` is ""
        if there is no measurement, as for a request that was refused."""
        if self._audit is None:
            return
        context = context_of(request.scope)
        credential_id = context.credential_id or ""
        self._audit.used(credential_id)
        self._audit.record(
            AuditEntry(
                at=int(time.time()),
                action=action,
                measurement_id=measurement_id,
                request_id=context.request_id,
                account_id=context.account_id or "",
                credential_id=credential_id,
                client=(request.client.host if request.client else "")[:_MOST_OF_CLIENT],
                status=status,
                duration_ms=round((time.monotonic() - context.began) * 1_000),
                targets=msgspec.json.encode(what.targets).decode(),
                colos=msgspec.json.encode(what.colos).decode(),
                options=msgspec.json.encode(what.options._asdict()).decode(),
            )
        )
