"""What clients do with measurements is in the audit."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import httpx
import pytest
from colotrace_coordinator.measurements.registry import Measurements
from colotrace_coordinator.store.audit import Action, Audit, AuditEntry
from colotrace_proto.measured import Status
from starlette.applications import Starlette
from unit.coordinator.api.conftest import ACCOUNT, BEARER, PATH
from unit.coordinator.api.fake_tracer import MEASUREMENT_ID
from unit.coordinator.api.test_measurements import kept
from unit.coordinator.remembered import RememberedHistory

BODY = {"targets": ["a.example"], "colos": ["den01"], "options": {"family": 6}}


class ListedAudit:
    """Keeps its entries, and the credentials that were used."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.credentials: list[str] = []

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    def used(self, credential_id: str) -> None:
        self.credentials.append(credential_id)


@pytest.fixture
def audit() -> ListedAudit:
    return ListedAudit()


@pytest.fixture
async def audited(
    make_app: Callable[..., Starlette], audit: ListedAudit
) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(audit=cast("Audit", audit)))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=BEARER
    ) as client:
        yield client


@pytest.mark.parametrize("headers", [{}, {"Prefer": "respond-async"}])
async def test_measurement_is_recorded(
    audited: httpx.AsyncClient, audit: ListedAudit, headers: dict[str, str]
) -> None:
    answer = await audited.post(PATH, json=BODY, headers=headers)
    (entry,) = audit.entries
    assert (entry.action, entry.measurement_id) == (Action.MEASURE, MEASUREMENT_ID)
    assert entry.measurement_id == answer.headers["Measurement-Id"]
    assert (entry.account_id, entry.credential_id) == (ACCOUNT, "t1")
    assert entry.status == answer.status_code
    assert (entry.targets, entry.colos) == ('["a.example"]', '["den01"]')
    options = json.loads(entry.options)
    assert (options["packet_type"], options["max_ttl"], options["family"]) == ("icmp", 15, 6)
    assert entry.request_id == answer.headers["cf-ray"]
    assert audit.credentials == ["t1"]


async def test_measurement_that_failed_is_recorded_without_an_id(
    audited: httpx.AsyncClient, audit: ListedAudit, tracer: Any
) -> None:
    tracer.fail = lambda: RuntimeError("x")
    answer = await audited.post(PATH, json=BODY)
    (entry,) = audit.entries
    assert (entry.status, answer.status_code) == (500, 500)
    assert entry.measurement_id == ""


async def test_removal_is_recorded(
    audited: httpx.AsyncClient, audit: ListedAudit, history: RememberedHistory
) -> None:
    summary = kept(history)
    await audited.delete(f"{PATH}/{summary.id}")
    (entry,) = audit.entries
    assert (entry.action, entry.measurement_id, entry.status) == (Action.REMOVE, summary.id, 200)
    assert (entry.account_id, entry.credential_id) == (ACCOUNT, "t1")
    assert (entry.targets, entry.colos) == ('["web.example"]', '["den01","sin01"]')


async def test_cancellation_is_recorded(
    audited: httpx.AsyncClient,
    audit: ListedAudit,
    history: RememberedHistory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def cancel(*_: object) -> bool:
        return True

    monkeypatch.setattr(Measurements, "cancel", cancel)
    summary = kept(history, status=Status.RUNNING)
    await audited.delete(f"{PATH}/{summary.id}", params={"if": "running"})
    (entry,) = audit.entries
    assert (entry.action, entry.measurement_id) == (Action.CANCEL, summary.id)


async def test_deletion_that_does_nothing_is_not_recorded(
    audited: httpx.AsyncClient, audit: ListedAudit, history: RememberedHistory
) -> None:
    summary = kept(history)
    await audited.delete(f"{PATH}/{summary.id}", params={"if": "running"})
    await audited.delete(f"{PATH}/{'0' * 32}")
    assert audit.entries == []
