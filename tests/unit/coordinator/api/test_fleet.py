"""Administration of the fleet by the API: a real database, agents that have joined."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.enrolment.administration import Administration
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.fleet.facts import AgentFacts
from colotrace_coordinator.model import Trouble
from colotrace_coordinator.store import enrolments as enrolments_module
from colotrace_coordinator.store.audit import Action, Audit
from colotrace_coordinator.store.authorities import Authorities
from colotrace_coordinator.store.colos import ColoStore, KeptColo
from colotrace_coordinator.store.credentials import Credential, Permission
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.enrolments import Enrolments
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.store.seen import SeenAgents
from colotrace_proto.join_tokens import parse_join_token
from colotrace_proto.messages import AgentId, ColoName, Family
from starlette.applications import Starlette
from unit.coordinator.api.conftest import ACCOUNT, BEARER, PATH, TOKEN, FakeCredentials
from unit.coordinator.api.test_audited import ListedAudit

FLEET = f"{PATH}/fleet"
DEN = ColoName("den01")


class Bed:
    """The API over a database."""

    def __init__(self, database: Database, client: httpx.AsyncClient, audit: ListedAudit) -> None:
        self.database, self.client, self.audit = database, client, audit
        self._enrolments = Enrolments(database)

    async def enrol(self, agent_id: str = "a1", colo: ColoName = DEN) -> str:
        secret = (await self._enrolments.issue(colo, city="Denver", uses=1, lifetime_s=60)).secret
        joined = await self._enrolments.join(
            secret, agent_id=AgentId(agent_id), key_sha256=agent_id, lifetime_s=3_600
        )
        return joined.identity.id

    async def seen(self, agent_id: str = "a1", *, enrolled: bool = True) -> None:
        facts = AgentFacts(
            colo=DEN,
            agent_id=AgentId(agent_id),
            host="probe1",
            version="0.3.0",
            families=frozenset(Family),
            attached_since=1_800_000_000.0,
            cpu_millis=250,
            memory_bytes=80_000_000,
        )
        seen = SeenAgents(self.database, coordinator="c", enrolled=enrolled)
        await seen.attached([(facts, Trouble(1_800_000_001.0, "it was busy"))], news=True)

    async def ask(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        answer = await self.client.request(method, FLEET + path, json=body)
        assert answer.status_code == status, answer.text
        told = answer.json()
        return told["result"] if status == 200 else told["errors"][0]

    def acts(self) -> list[tuple[str, str, str]]:
        """What was recorded, with the subjects and the colos."""
        return [(each.action, each.targets, each.colos) for each in self.audit.entries]


@pytest.fixture
async def bed(
    tmp_path: Path, make_app: Callable[..., Starlette], credentials: FakeCredentials
) -> AsyncIterator[Bed]:
    database = await Database.open(locate(data=tmp_path, database=None))
    audit = ListedAudit()
    credentials.tokens[TOKEN] = Credential("t1", {ACCOUNT: frozenset({Permission.ADMIN})})
    app = make_app(audit=cast("Audit", audit), administration=Administration(database))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test", headers=BEARER
    ) as client:
        yield Bed(database, client, audit)
    await database.close()


ROUTES = [
    ("GET", "/agents"),
    ("GET", "/agents/a1"),
    ("PATCH", "/agents/a1"),
    ("DELETE", "/agents/a1"),
    ("POST", "/agents/a1/revoke"),
    ("GET", "/join-tokens"),
    ("POST", "/join-tokens"),
    ("DELETE", "/join-tokens/x"),
    ("PATCH", "/colos/den01"),
    ("DELETE", "/colos/den01"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("permission", [p for p in Permission if p is not Permission.ADMIN])
async def test_other_permissions_do_not_suffice(
    bed: Bed, credentials: FakeCredentials, method: str, path: str, permission: Permission
) -> None:
    """Nor does admin in another account."""
    await bed.enrol()
    granted = {ACCOUNT: frozenset({permission}), "other": frozenset({Permission.ADMIN})}
    credentials.tokens[TOKEN] = Credential("t1", granted)
    error = await bed.ask(method, path, {"drained": True}, status=403)
    assert error["code"] == 9109
    [agent] = await Administration(bed.database).agents()
    assert agent.state == "enrolled"
    assert bed.audit.entries == []


async def test_agents_are_listed_with_what_is_known(bed: Bed) -> None:
    identity = await bed.enrol()
    await bed.enrol("b1")
    await bed.seen()
    first, second = await bed.ask("GET", "/agents")
    times = {"last_seen_at", "enrolled_at", "certificate_ends_at", "attached_since"}
    assert all(first[name].endswith(".000Z") for name in times)
    assert {name: value for name, value in first.items() if name not in times} == {
        "id": identity,
        "colo": "den01",
        "agent_id": "a1",
        "city": "Denver",
        "host": "probe1",
        "state": "enrolled",
        "version": "0.3.0",
        "families": ["ipv4", "ipv6"],
        "revoked_at": None,
        "last_trouble": "2027-01-15T08:00:01.000Z: it was busy",
        "cpu_millis": 250,
        "memory_bytes": 80_000_000,
    }
    assert (second["agent_id"], second["attached_since"], second["families"]) == ("b1", None, [])
    assert await bed.ask("GET", f"/agents/{identity}") == first
    assert bed.audit.entries == []


async def test_agent_is_drained_renamed_revoked_and_forgotten(bed: Bed) -> None:
    identity = await bed.enrol()
    path = f"/agents/{identity}"
    assert (await bed.ask("PATCH", path, {"drained": True}))["state"] == "drained"
    assert (await bed.ask("PATCH", path, {"drained": False}))["state"] == "enrolled"
    renamed = await bed.ask("PATCH", path, {"agent_id": "b1", "colo": "DEN02", "city": "Golden"})
    assert (renamed["colo"], renamed["agent_id"], renamed["city"]) == ("den02", "b1", "Golden")
    assert (await bed.ask("POST", f"{path}/revoke"))["state"] == "revoked"
    assert await bed.ask("DELETE", path) == {"id": identity}
    assert await bed.ask("GET", "/agents") == []
    assert bed.acts() == [
        (Action.DRAIN, '["den01/a1"]', '["den01"]'),
        (Action.UNDRAIN, '["den01/a1"]', '["den01"]'),
        (Action.RENAME, '["den01/a1"]', '["den02"]'),
        (Action.REVOKE, '["den02/b1"]', '["den02"]'),
        (Action.FORGET, '["den02/b1"]', '["den02"]'),
    ]
    assert json.loads(bed.audit.entries[2].options) == {"to": "den02/b1"}
    assert {each.credential_id for each in bed.audit.entries} == {"t1"}
    assert all(len(action) <= 16 for action in Action)


async def test_renaming_and_draining_at_once(bed: Bed) -> None:
    identity = await bed.enrol()
    body = {"agent_id": "b1", "drained": True}
    changed = await bed.ask("PATCH", f"/agents/{identity}", body)
    assert (changed["agent_id"], changed["state"]) == ("b1", "drained")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "must have one of drained, agent_id, colo, city"),
        ({"drain": True}, "unknown field"),
        ({"drained": "yes"}, "Expected `bool`"),
        ({"agent_id": "x y"}, "1 to 64 letters"),
        ({"agent_id": "a/b"}, "a colo is 3 to 8 letters"),
        ({"colo": "den"}, "a colo is 3 to 8 letters"),
        ([], "Expected `object`"),
    ],
)
async def test_change_that_cannot_be_made_says_why(bed: Bed, body: object, words: str) -> None:
    identity = await bed.enrol()
    error = await bed.ask("PATCH", f"/agents/{identity}", body, status=400)
    assert error["code"] == 1001
    assert words in error["message"]
    assert bed.audit.entries == []


async def test_what_is_missing_taken_or_not_enrolled_is_told_apart(bed: Bed) -> None:
    await bed.enrol()
    await bed.enrol("a2")
    await bed.seen("x1", enrolled=False)
    missing = await bed.ask("POST", "/agents/none/revoke", status=404)
    assert (missing["code"], "no agent is called none" in missing["message"]) == (1029, True)
    taken = await bed.ask("PATCH", "/agents/a2", {"agent_id": "a1"}, status=409)
    assert (taken["code"], taken["message"]) == (1030, "den01 already has an agent a1")
    other = await bed.ask("PATCH", "/agents/den01:x1", {"drained": True}, status=409)
    assert "has not enrolled" in other["message"]
    attached = await bed.ask("DELETE", "/agents/den01:x1", status=409)
    assert "is attached" in attached["message"]
    await SeenAgents(bed.database, coordinator="c", enrolled=False).stopped()
    assert await bed.ask("DELETE", "/agents/den01:x1") == {"id": "den01:x1"}
    assert len(await bed.ask("GET", "/agents")) == 2


async def test_join_token_is_shown_once_and_can_be_revoked(bed: Bed) -> None:
    authority = await Authorities(bed.database).open(Seal("s" * 32))
    await Authorities(bed.database).announce("trace.example.net:8082")
    body = {"colo": "den01", "city": "Denver, CO, US", "uses": 3, "expires_s": 600}
    made = await bed.ask("POST", "/join-tokens", body)
    assert made["command"] == f"colotrace-agent join {made['token']}"
    token = parse_join_token(made["token"])
    assert (token.address, token.colo) == ("trace.example.net:8082", "den01")
    assert authority.certificate
    [listed] = await bed.ask("GET", "/join-tokens")
    assert (listed["id"], listed["uses"], listed["used"]) == (made["id"], 3, 0)
    assert made["token"] not in json.dumps(listed)
    assert await bed.ask("DELETE", f"/join-tokens/{made['id']}") == {"id": made["id"]}
    [listed] = await bed.ask("GET", "/join-tokens")
    assert listed["revoked_at"] is not None
    await bed.ask("DELETE", "/join-tokens/none", status=404)
    assert [each.action for each in bed.audit.entries] == [Action.ENROLL, Action.REVOKE_TOKEN]
    assert made["token"] not in "".join(each.options for each in bed.audit.entries)


async def test_join_tokens_need_a_certificate_authority(bed: Bed) -> None:
    body = {"colo": "den01", "city": "Denver, CO, US"}
    error = await bed.ask("POST", "/join-tokens", body, status=409)
    assert "no certificate authority yet" in error["message"]
    for wrong in ({"colo": "den"}, {"uses": 0}, {"expires_s": 10**9}, {"address": 5}):
        await bed.ask("POST", "/join-tokens", body | wrong, status=400)


async def test_valid_join_tokens_are_bounded(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolments_module, "MAX_VALID", 1)
    await Authorities(bed.database).open(Seal("s" * 32))
    await Authorities(bed.database).announce("trace.example.net:8082")
    body = {"colo": "den01", "city": "Denver, CO, US"}
    made = await bed.ask("POST", "/join-tokens", body)
    error = await bed.ask("POST", "/join-tokens", body, status=409)
    assert "join tokens are valid" in error["message"]
    await bed.ask("DELETE", f"/join-tokens/{made['id']}")
    await bed.ask("POST", "/join-tokens", body)


async def test_colo_is_renamed_and_forgotten(bed: Bed) -> None:
    await bed.enrol()
    await ColoStore(bed.database).remember([KeptColo(DEN, "Denver")])
    renamed = await bed.ask("PATCH", "/colos/den01", {"name": "DEN02", "city": "Golden, CO, US"})
    assert renamed == {"name": "den02", "agents": 1}
    await bed.ask("PATCH", "/colos/den01", {"name": "den03"}, status=404)
    await bed.ask("PATCH", "/colos/den02", {"name": "den02"}, status=400)
    assert await bed.ask("DELETE", "/colos/den02") == {"name": "den02"}
    await bed.ask("DELETE", "/colos/den02", status=404)
    assert bed.acts() == [
        (Action.RENAME_COLO, '["den01"]', '["den02"]'),
        (Action.FORGET_COLO, '["den02"]', '["den02"]'),
    ]


async def test_database_that_does_not_answer_is_told(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailableError("the database db.example does not answer")

    monkeypatch.setattr(bed.database, "session", fail)
    error = await bed.ask("GET", "/agents", status=503)
    assert error["message"] == "The coordinator's database does not answer"


async def test_many_lists_at_once_are_all_answered(bed: Bed) -> None:
    await bed.enrol()
    lists = await asyncio.gather(*(bed.ask("GET", "/agents") for _ in range(10)))
    assert all(len(each) == 1 for each in lists)
