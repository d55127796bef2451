"""The authority, join tokens and enrolled agents in the database."""

import asyncio
import errno
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.enrolment.known import READ_AGAIN, KnownAgents
from colotrace_coordinator.enrolment.running_out import show_tokens
from colotrace_coordinator.errors import EnrolmentRefusedError, SetupError, UnknownIdError
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.store import authorities
from colotrace_coordinator.store.authorities import Authorities, secret_in
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.enrolled import KEPT_AFTER_END_S, EnrolledAgents
from colotrace_coordinator.store.enrolments import Enrolments, Joined
from colotrace_coordinator.store.location import Location, open_private
from colotrace_proto.messages import AgentId, ColoName
from manual_clock import ManualClock
from prometheus_client import CollectorRegistry
from sqlalchemy import text

DEN = ColoName("den01")
SEAL = Seal("s" * 32)
LIFETIME_S = 1_000.0


@pytest.fixture
def enrolments(database: Database, clock: ManualClock) -> Enrolments:
    return Enrolments(database, clock=clock)


@pytest.fixture
def agents(database: Database, clock: ManualClock) -> EnrolledAgents:
    return EnrolledAgents(database, clock=clock)


async def join(
    enrolments: Enrolments, secret: bytes, agent_id: str = "a1", key: str = "1" * 64
) -> Joined:
    return await enrolments.join(
        secret, agent_id=AgentId(agent_id), key_sha256=key, lifetime_s=LIFETIME_S
    )


async def token(enrolments: Enrolments, *, uses: int = 1) -> bytes:
    return (await enrolments.issue(DEN, city="Denver, CO, US", uses=uses, lifetime_s=100.0)).secret


async def test_coordinators_that_start_together_have_one_authority(
    location: Location, database: Database
) -> None:
    other = await Database.open(location)
    try:
        first, second = await asyncio.gather(
            *(Authorities(each).open(SEAL) for each in (database, other))
        )
    finally:
        await other.close()
    assert first.certificate == second.certificate
    await Authorities(database).announce("trace.example.net:8082")
    stored = await Authorities(database).described()
    assert stored is not None
    assert (stored.certificate, stored.address) == (first.certificate, "trace.example.net:8082")
    assert first.signing.export() not in stored.sealed_key
    with pytest.raises(SetupError, match="with this secret"):
        await Authorities(database).open(Seal("t" * 32))


def test_secret_is_created_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "ca.secret"
    secret = secret_in(file)
    assert len(secret) == 64
    assert secret_in(file) == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(SetupError, match="Is a directory"):
        secret_in(tmp_path)


def test_secret_that_is_there_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets of a container are read-only."""
    file = tmp_path / "ca.secret"
    secret = secret_in(file)

    def refused(_: Path) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(authorities, "open_private", refused)
    assert secret_in(file) == secret


def test_coordinators_that_start_together_have_one_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find the file empty; the second one waits for the first one's secret."""
    both_opened = Barrier(2)

    def opened(file: Path) -> int:
        handle = open_private(file)
        both_opened.wait(timeout=10)
        return handle

    monkeypatch.setattr(authorities, "open_private", opened)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(secret_in, [tmp_path / "ca.secret"] * 2)
    assert first == second == secret_in(tmp_path / "ca.secret")


async def test_token_enrols_so_many_agents(
    enrolments: Enrolments, agents: EnrolledAgents, clock: ManualClock
) -> None:
    secret = await token(enrolments, uses=2)
    for number in (1, 2):
        joined = await join(enrolments, secret, f"a{number}", str(number) * 64)
        assert (joined.identity.colo, joined.city) == (DEN, "Denver, CO, US")
    with pytest.raises(EnrolmentRefusedError, match="has enrolled its 2 agents"):
        await join(enrolments, secret, "a3", "3" * 64)
    assert [each.agent_id for each in await agents.all()] == ["a1", "a2"]
    [line] = await enrolments.all()
    assert (line.used, line.uses) == (2, 2)
    assert secret.hex() not in line.sha256


async def test_agents_that_join_at_once_share_the_uses(
    enrolments: Enrolments, agents: EnrolledAgents
) -> None:
    secret = await token(enrolments, uses=3)
    answers = await asyncio.gather(
        *(join(enrolments, secret, f"a{number}", str(number) * 64) for number in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Joined) for each in answers) == 3
    assert sum(isinstance(each, EnrolmentRefusedError) for each in answers) == 3
    assert len(await agents.all()) == 3


async def test_answer_that_was_lost_is_asked_for_again(
    enrolments: Enrolments, agents: EnrolledAgents, clock: ManualClock
) -> None:
    """The list has the end of the certificate that is answered then."""
    secret = await token(enrolments)
    first = await join(enrolments, secret)
    clock.now += 50
    assert await join(enrolments, secret) == first
    [listed] = await agents.all()
    assert listed.certificate_ends_at == clock.now + LIFETIME_S


async def test_answer_is_not_given_again_once_the_token_was_revoked(
    enrolments: Enrolments,
) -> None:
    """A revoked token is refused, even with a key that has joined by it."""
    secret = await token(enrolments)
    await join(enrolments, secret)
    [line] = await enrolments.all()
    await enrolments.revoke(line.id)
    with pytest.raises(EnrolmentRefusedError, match="was revoked"):
        await join(enrolments, secret)


async def test_name_of_another_agent_is_refused_and_costs_no_use(enrolments: Enrolments) -> None:
    secret = await token(enrolments, uses=2)
    await join(enrolments, secret)
    with pytest.raises(EnrolmentRefusedError, match="den01 already has an agent a1"):
        await join(enrolments, secret, key="2" * 64)
    [line] = await enrolments.all()
    assert line.used == 1


async def test_expired_revoked_and_unknown_tokens_are_told_apart(
    enrolments: Enrolments, clock: ManualClock
) -> None:
    with pytest.raises(EnrolmentRefusedError, match="does not know"):
        await join(enrolments, bytes(16))
    secret = await token(enrolments)
    clock.now += 100
    with pytest.raises(EnrolmentRefusedError, match="has expired"):
        await join(enrolments, secret)
    secret = await token(enrolments)
    await enrolments.revoke((await enrolments.all())[1].id)
    with pytest.raises(EnrolmentRefusedError, match="was revoked"):
        await join(enrolments, secret)
    with pytest.raises(UnknownIdError, match="agent tokens"):
        await enrolments.revoke("none")


async def test_revoked_agent_leaves_its_name_to_another(
    enrolments: Enrolments, agents: EnrolledAgents, clock: ManualClock
) -> None:
    first = await join(enrolments, await token(enrolments))
    await agents.revoke(first.identity.id)
    at = clock.now
    clock.now += 5
    await agents.revoke(first.identity.id)
    second = await join(enrolments, await token(enrolments), key="2" * 64)
    assert second.identity.id != first.identity.id
    revoked = {each.id: each.revoked_at for each in await agents.all()}
    assert revoked == {first.identity.id: at, second.identity.id: None}
    await agents.forget(first.identity.id)
    assert [each.id for each in await agents.all()] == [second.identity.id]
    forgotten = await agents.find(first.identity.id)
    assert forgotten is not None
    assert forgotten.revoked_at == at


async def test_changes_are_seen_by_who_looks_later(
    enrolments: Enrolments, agents: EnrolledAgents
) -> None:
    rows, at = await agents.changed(0)
    assert rows == []
    joined = await join(enrolments, await token(enrolments))
    rows, at = await agents.changed(at)
    assert [(each.id, each.revoked_at, each.drained) for each in rows] == [
        (joined.identity.id, None, False)
    ]
    await agents.drain(joined.identity.id, drained=True)
    await agents.revoke(joined.identity.id)
    [row], _ = await agents.changed(at)
    assert row.drained
    assert row.revoked_at is not None
    assert (await agents.changed(at + 3_600_000))[0] == []


async def test_revoked_agent_gets_no_certificate(
    enrolments: Enrolments, agents: EnrolledAgents, clock: ManualClock
) -> None:
    identity = (await join(enrolments, await token(enrolments))).identity.id
    assert await agents.renewed(
        identity, key_sha256="2" * 64, ends_at=clock.now + 50, name="den01/a1"
    )
    found = await agents.find(identity)
    assert found is not None
    assert (found.key_sha256, found.certificate_ends_at) == ("2" * 64, clock.now + 50)
    await agents.revoke(identity)
    assert not await agents.renewed(
        identity, key_sha256="3" * 64, ends_at=clock.now + 90, name="den01/a1"
    )


async def test_revoked_agent_is_remembered_while_its_certificate_could_be_shown(
    enrolments: Enrolments, agents: EnrolledAgents, clock: ManualClock
) -> None:
    identity = (await join(enrolments, await token(enrolments))).identity.id
    await agents.forget(identity)
    clock.now += LIFETIME_S + KEPT_AFTER_END_S
    await agents.prune()
    assert await agents.find(identity) is not None
    clock.now += 1
    await agents.prune()
    assert await agents.find(identity) is None


async def test_change_that_is_committed_long_after_its_time_is_seen(
    database: Database, enrolments: Enrolments, agents: EnrolledAgents
) -> None:
    """Within as many looks as there are hundreds of agents."""
    secret = await token(enrolments, uses=READ_AGAIN + 1)
    joined = [await join(enrolments, secret, f"a{n}", f"{n:064d}") for n in range(READ_AGAIN + 1)]
    ids = [each.identity.id for each in joined]
    async with database.session() as session:  # they joined long ago
        await session.execute(text("UPDATE agents SET changed_ms = 1"))
    known = KnownAgents(agents)
    await known.load()
    async with database.session() as session:
        await session.execute(text("UPDATE agents SET revoked_at = 1, changed_ms = 2"))
    assert all([await known.current(each) for each in ids])
    for _ in range(3):
        await known.load()
    assert [await known.current(each) for each in ids] == [None] * len(ids)


async def test_tokens_for_several_agents_are_left_until_they_are_used_up_or_expire(
    enrolments: Enrolments, clock: ManualClock
) -> None:
    await token(enrolments)  # for one agent
    secret = await token(enrolments, uses=2)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    labels = {"token": (await enrolments.left())[0].id, "colo": "den01"}

    async def shown(name: str) -> float | None:
        await show_tokens(metrics, enrolments)
        return registry.get_sample_value(f"colotrace_join_token_{name}", labels)

    assert await shown("uses_left") == 2
    assert await shown("end_timestamp_seconds") == clock.now + 100
    await join(enrolments, secret)
    assert await shown("uses_left") == 1
    await join(enrolments, secret, "a2", "2" * 64)
    assert await shown("uses_left") is None
    await token(enrolments, uses=2)
    clock.now += 100
    assert await enrolments.left() == []
