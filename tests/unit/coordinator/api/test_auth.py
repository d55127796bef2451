"""Who asks: either credential suffices, and a valid one is remembered for a moment."""

import asyncio

import pytest
from colotrace_coordinator.api.access import authenticator as module
from colotrace_coordinator.api.access.access import authorize
from colotrace_coordinator.api.access.authenticator import Authenticator
from colotrace_coordinator.api.access.limiter import Limiter
from colotrace_coordinator.api.errors import (
    ForbiddenError,
    LapsedTokenError,
    RateLimitedError,
    UnknownCredentialsError,
)
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.store.credentials import Credential, Lapse, Lapsed, Permission
from manual_clock import ManualClock
from starlette.datastructures import Headers
from unit.coordinator.api.conftest import BEARER, PAIR, TOKEN, FakeCredentials


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def who(credentials: FakeCredentials, clock: ManualClock) -> Authenticator:
    limiter = Limiter(per_credential=100, failures_per_address=3, clock=clock)
    return Authenticator(credentials, limiter, remembered_s=5, monotonic=clock, clock=clock)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        (BEARER, "t1"),
        ({"authorization": f"bearer  {TOKEN}"}, "t1"),
        (PAIR, "k1"),
        (PAIR | {"X-Auth-Email": "OPS@Example.net"}, "k1"),
        (BEARER | PAIR, "t1"),
        (PAIR | {"Authorization": "Bearer unknown"}, "k1"),
        (PAIR | {"Authorization": "nonsense"}, "k1"),
        (BEARER | {"X-Auth-Email": "ops@example.net"}, "t1"),
        (BEARER | {"X-Auth-Email": "no", "X-Auth-Key": "no"}, "t1"),
        (BEARER | PAIR | {"X-Auth-Key": "x" * 40}, "t1"),
    ],
)
async def test_either_suffices(who: Authenticator, headers: dict[str, str], wanted: str) -> None:
    credential, _ = await who.authenticate(Headers(headers), "192.0.2.1")
    assert credential.id == wanted


async def test_remembered_for_a_moment(
    who: Authenticator, credentials: FakeCredentials, clock: ManualClock
) -> None:
    """A hot token does not reach the database; a revoked one is refused within the time."""
    for _ in range(3):
        await who.authenticate(Headers(BEARER), "192.0.2.1")
    assert credentials.lookups == 1
    credentials.tokens.clear()
    clock.now += 4.9
    await who.authenticate(Headers(BEARER), "192.0.2.1")
    clock.now += 0.2
    with pytest.raises(UnknownCredentialsError):
        await who.authenticate(Headers(BEARER), "192.0.2.1")


async def test_expiry_is_seen_in_memory(
    who: Authenticator, credentials: FakeCredentials, clock: ManualClock
) -> None:
    credentials.tokens[TOKEN] = Credential("t1", {}, expires_at=1_002)
    await who.authenticate(Headers(BEARER), "192.0.2.1")
    credentials.tokens.clear()
    clock.now = 1_002
    with pytest.raises(UnknownCredentialsError):
        await who.authenticate(Headers(BEARER), "192.0.2.1")


async def test_failures_are_not_remembered(
    who: Authenticator, credentials: FakeCredentials
) -> None:
    """A token is good as soon as it is made."""
    kept = credentials.tokens.pop(TOKEN)
    with pytest.raises(UnknownCredentialsError):
        await who.authenticate(Headers(BEARER), "192.0.2.1")
    credentials.tokens[TOKEN] = kept
    await who.authenticate(Headers(BEARER), "192.0.2.1")


@pytest.mark.parametrize("why", Lapse)
async def test_lapsed_token_is_told_from_a_wrong_one_and_counts_as_one(
    who: Authenticator, credentials: FakeCredentials, why: Lapse
) -> None:
    """So it gives no more guesses than a wrong one, and no request is let through."""
    credentials.tokens["old"] = Lapsed("t3", why)
    headers = Headers({"Authorization": "Bearer old"})
    for _ in range(3):
        with pytest.raises(LapsedTokenError) as caught:
            await who.authenticate(headers, "192.0.2.1")
        assert caught.value.token == Lapsed("t3", why)
    assert caught.value.quota is not None
    assert caught.value.quota.remaining == 0
    for hidden in (headers, bad(1)):
        with pytest.raises(RateLimitedError):
            await who.authenticate(hidden, "192.0.2.1")


async def test_key_beside_a_lapsed_token_suffices(
    who: Authenticator, credentials: FakeCredentials
) -> None:
    credentials.tokens["old"] = Lapsed("t3", Lapse.EXPIRED)
    headers = {"Authorization": "Bearer old"}
    credential, _ = await who.authenticate(Headers(headers | PAIR), "192.0.2.1")
    assert credential.id == "k1"
    wrong = PAIR | {"X-Auth-Key": "x" * 40}
    with pytest.raises(LapsedTokenError):
        await who.authenticate(Headers(headers | wrong), "192.0.2.1")


def test_authorize() -> None:
    credential = Credential("t", {"a": frozenset({Permission.COLOS})})
    authorize(credential, "a", any_of=[Permission.TRACEROUTE, Permission.COLOS])
    for account, permission in (("a", Permission.TRACEROUTE), ("b", Permission.COLOS)):
        with pytest.raises(ForbiddenError):
            authorize(credential, account, any_of=[permission])


def bad(number: int) -> Headers:
    return Headers({"Authorization": f"Bearer wrong{number}"})


async def over_the_limit(who: Authenticator, address: str = "192.0.2.1") -> None:
    for number in range(3):
        with pytest.raises(UnknownCredentialsError):
            await who.authenticate(bad(number), address)
    with pytest.raises(RateLimitedError):
        await who.authenticate(bad(3), address)


async def test_address_over_its_limit_costs_no_query(
    who: Authenticator, credentials: FakeCredentials
) -> None:
    await over_the_limit(who)
    asked = credentials.lookups, credentials.loads
    assert asked == (3, 1)
    for number in range(100):
        with pytest.raises(RateLimitedError):
            await who.authenticate(bad(number), "192.0.2.1")
    assert (credentials.lookups, credentials.loads) == asked


@pytest.mark.parametrize(("headers", "wanted"), [(BEARER, "t1"), (PAIR, "k1")])
async def test_good_one_is_taken_at_an_address_over_its_limit(
    who: Authenticator, headers: dict[str, str], wanted: str
) -> None:
    await over_the_limit(who)
    credential, quota = await who.authenticate(Headers(headers), "192.0.2.1")
    assert (credential.id, quota.remaining) == (wanted, 99)


async def test_new_token_is_taken_at_an_address_over_its_limit_within_seconds(
    who: Authenticator, credentials: FakeCredentials, clock: ManualClock
) -> None:
    await over_the_limit(who)
    credentials.tokens["new"] = Credential("t9", {})
    headers = Headers({"Authorization": "Bearer new"})
    with pytest.raises(RateLimitedError):
        await who.authenticate(headers, "192.0.2.1")
    assert (await who.authenticate(headers, "192.0.2.2"))[0].id == "t9"
    clock.now += 5
    for _ in range(2):  # the old list is taken while the new one is loaded
        try:
            credential, _ = await who.authenticate(headers, "192.0.2.1")
        except RateLimitedError:
            await asyncio.sleep(0)
    assert credential.id == "t9"
    assert credentials.loads == 2


async def test_database_that_does_not_answer_is_no_matter_over_the_limit(
    who: Authenticator, credentials: FakeCredentials
) -> None:
    for number in range(3):
        with pytest.raises(UnknownCredentialsError):
            await who.authenticate(bad(number), "192.0.2.1")
    credentials.fail_digests = StoreUnavailableError("away")
    with pytest.raises(RateLimitedError):
        await who.authenticate(bad(4), "192.0.2.1")


async def test_same_secret_is_looked_up_once_at_a_time(
    who: Authenticator, credentials: FakeCredentials
) -> None:
    """Nor does a client that goes away take the look-up from the others."""
    go, find = asyncio.Event(), credentials.find_token

    async def slow(token: str) -> Credential | None:
        await go.wait()
        return await find(token)

    credentials.find_token = slow  # type: ignore[method-assign]
    asking = [asyncio.create_task(who.authenticate(Headers(BEARER), "192.0.2.1")) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    go.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(each, tuple) and each[0].id == "t1" for each in found[1:])
    assert credentials.lookups == 1


async def test_look_ups_at_once_are_bounded_for_strangers_alone(
    who: Authenticator, credentials: FakeCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LOOKUPS", 2)
    go, find, asked = asyncio.Event(), credentials.find_token, list[str]()

    async def slow(token: str) -> Credential | None:
        asked.append(token)
        await go.wait()
        return await find(token)

    credentials.find_token = slow  # type: ignore[method-assign]
    guessing = [asyncio.create_task(who.authenticate(bad(n), f"192.0.2.{n}")) for n in range(10)]
    good = asyncio.create_task(who.authenticate(Headers(BEARER), "192.0.2.99"))
    while TOKEN not in asked:  # noqa: ASYNC110 - the look-up begins by itself
        await asyncio.sleep(0)
    go.set()
    assert (await good)[0].id == "t1"
    found = await asyncio.gather(*guessing, return_exceptions=True)
    assert all(isinstance(each, UnknownCredentialsError) for each in found)
    assert len(asked) == 3
