"""What a client did, as an entry of the audit."""

import time
from collections.abc import Mapping, Sequence

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
        self._record(
            request,
            action,
            measurement_id=measurement_id,
            status=status,
            targets=what.targets,
            colos=what.colos,
            options=what.options._asdict(),
        )

    def record_act(
        self,
        request: Request,
        action: Action,
        *,
        subjects: Sequence[str],
        colos: Sequence[str],
        details: Mapping[str, object],
    ) -> None:
        """Queue an entry of an action on the fleet: on which agents or join token, and how."""
        self._record(request, action, targets=subjects, colos=colos, options=details)

    def _record(
        self,
        request: Request,
        action: Action,
        *,
        targets: Sequence[str],
        colos: Sequence[str],
        options: Mapping[str, object],
        measurement_id: str = "",
        status: int = 200,
    ) -> None:
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
                targets=msgspec.json.encode(targets).decode(),
                colos=msgspec.json.encode(colos).decode(),
                options=msgspec.json.encode(options).decode(),
            )
        )
