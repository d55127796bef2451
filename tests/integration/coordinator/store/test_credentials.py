"""Tokens and keys: created, found, listed, revoked; only their hashes are stored."""

import pytest
from colotrace_coordinator.errors import SetupError, UnknownIdError
from colotrace_coordinator.store.credentials import (
    OF_KEYS,
    Credential,
    Credentials,
    Lapse,
    Lapsed,
    Permission,
    permission,
)
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.secrets import short_digest
from colotrace_coordinator.store.tables import Key, Token
from manual_clock import ManualClock
from sqlalchemy import text, update


@pytest.fixture
def credentials(database: Database, clock: ManualClock) -> Credentials:
    return Credentials(database, clock=clock)


async def test_token(credentials: Credentials, clock: ManualClock) -> None:
    token = await credentials.create_token("a1", description="scripts")
    assert len(token) == 40
    found = await credentials.find_token(token)
    assert isinstance(found, Credential)
    assert found.grants == {"a1": frozenset({Permission.TRACEROUTE})}
    [line] = await credentials.all(Token)
    assert (line.id, line.account_id, line.description) == (found.id, "a1", "scripts")
    assert line.created_at == clock.now
    assert (line.expires_at, line.revoked_at, line.last_used_at) == (None, None, None)
    assert await credentials.find_token(token[:-1]) is None


async def test_secrets_are_not_stored(credentials: Credentials, database: Database) -> None:
    token = await credentials.create_token("a1")
    key = await credentials.create_key("a1", email="a@b.example")
    async with database.session() as session:
        for table in ("accounts", "tokens", "keys"):
            rows = (await session.execute(text(f"SELECT * FROM {table}"))).all()  # noqa: S608 - fixed words
            assert rows
            assert token not in str(rows)
            assert key not in str(rows)


async def test_token_expires(credentials: Credentials, clock: ManualClock) -> None:
    token = await credentials.create_token("a1", lifetime_s=60)
    clock.now += 59
    assert await credentials.find_token(token) is not None
    clock.now += 1
    [line] = await credentials.all(Token)
    lapsed = Lapsed(line.id, Lapse.EXPIRED, line.expires_at)
    assert await credentials.find_token(token) == lapsed


async def test_token_is_revoked(credentials: Credentials, clock: ManualClock) -> None:
    """Permanently; a second revocation does not change the time."""
    token = await credentials.create_token("a1")
    [line] = await credentials.all(Token)
    await credentials.revoke(Token, line.id)
    at = clock.now
    clock.now += 10
    await credentials.revoke(Token, line.id)
    assert await credentials.find_token(token) == Lapsed(line.id, Lapse.REVOKED)
    [line] = await credentials.all(Token)
    assert line.revoked_at == at
    with pytest.raises(UnknownIdError, match="token list"):
        await credentials.revoke(Token, "none")


async def test_unknown_permission_grants_nothing(
    credentials: Credentials, database: Database
) -> None:
    """A newer version may have stored it."""
    token = await credentials.create_token("a1")
    async with database.session() as session:
        await session.execute(update(Token).values(permissions="diagnostics:colos new:thing"))
    found = await credentials.find_token(token)
    assert isinstance(found, Credential)
    assert found.grants == {"a1": frozenset({Permission.COLOS})}


async def test_key(credentials: Credentials) -> None:
    key = await credentials.create_key("a1", email="Ops@Example.net")
    assert len(key) == 37
    found = await credentials.find_key("OPS@example.NET", key)
    assert found is not None
    assert found.grants == {"a1": OF_KEYS}
    assert await credentials.find_key("other@example.net", key) is None
    assert await credentials.find_key("ops@example.net", key[:-1]) is None
    [line] = await credentials.all(Key)
    assert line.email == "ops@example.net"
    await credentials.revoke(Key, line.id)
    assert await credentials.find_key("ops@example.net", key) is None
    with pytest.raises(UnknownIdError, match="key list"):
        await credentials.revoke(Key, "none")


async def test_imported_key(credentials: Credentials) -> None:
    """One key may belong to several accounts; importing it again is no error."""
    key = "0123456789abcdef0123456789abcdef01234"
    for account in ("a1", "a2", "a1"):
        assert await credentials.create_key(account, email="a@b.example", key=key) == key
    found = await credentials.find_key("a@b.example", key)
    assert found is not None
    assert set(found.grants) == {"a1", "a2"}
    assert len(await credentials.all(Key)) == 2


@pytest.mark.parametrize("key", ["short", "x" * 31, "x" * 257, "x" * 40 + " ", "ü" * 40])
async def test_bad_key(credentials: Credentials, key: str) -> None:
    with pytest.raises(SetupError, match="--key"):
        await credentials.create_key("a1", email="a@b.example", key=key)
    with pytest.raises(SetupError, match="e-mail"):
        await credentials.create_key("a1", email="nobody")


@pytest.mark.parametrize("account", ["", "a" * 33, "a/b", "a b", ".", "..", "ä"])
async def test_bad_account(credentials: Credentials, account: str) -> None:
    with pytest.raises(SetupError, match="account"):
        await credentials.create_token(account)


async def test_last_use(credentials: Credentials, clock: ManualClock) -> None:
    await credentials.create_token("a1")
    await credentials.create_key("a1", email="a@b.example")
    [token], [key] = await credentials.all(Token), await credentials.all(Key)
    clock.now += 5
    await credentials.used([token.id, key.id, "gone"])
    [token], [key] = await credentials.all(Token), await credentials.all(Key)
    assert token.last_used_at == key.last_used_at == clock.now


def test_permission_names() -> None:
    assert permission("diagnostics:traceroute") is Permission.TRACEROUTE
    assert permission("Magic Transit Write") is Permission.TRACEROUTE
    assert permission("Traceroute:Read") is Permission.READ
    names = "admin, diagnostics:colos, diagnostics:traceroute, traceroute:read, traceroute:write"
    with pytest.raises(SetupError, match=names):
        permission("everything")


async def test_digests_of_valid_credentials(credentials: Credentials, clock: ManualClock) -> None:
    """Of tokens and keys, without revoked and expired ones."""
    kept, gone = [await credentials.create_token("a1") for _ in range(2)]
    key = await credentials.create_key("a1", email="a@b.example")
    found = await credentials.find_token(gone)
    assert found is not None
    assert await credentials.digests() == {short_digest(each) for each in (kept, gone, key)}
    await credentials.revoke(Token, found.id)
    brief = await credentials.create_token("a1", lifetime_s=60)
    assert short_digest(brief) in await credentials.digests()
    clock.now += 60
    assert await credentials.digests() == {short_digest(each) for each in (kept, key)}
