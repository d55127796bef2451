"""Who asks: either credential suffices, and a valid one is remembered for a moment."""

import pytest
from colotrace_coordinator.api.auth import Authenticator, authorize
from colotrace_coordinator.api.errors import ForbiddenError, UnknownCredentialsError
from colotrace_coordinator.api.limiter import Limiter
from colotrace_coordinator.store.credentials import Credential, Permission
from starlette.datastructures import Headers
from unit.coordinator.api.conftest import BEARER, PAIR, TOKEN, FakeCredentials


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def who(credentials: FakeCredentials, clock: Clock) -> Authenticator:
    limiter = Limiter(per_credential=100, failures_per_address=100)
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
    who: Authenticator, credentials: FakeCredentials, clock: Clock
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
    who: Authenticator, credentials: FakeCredentials, clock: Clock
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


def test_authorize() -> None:
    credential = Credential("t", {"a": frozenset({Permission.COLOS})})
    authorize(credential, "a", any_of=[Permission.TRACEROUTE, Permission.COLOS])
    for account, permission in (("a", Permission.TRACEROUTE), ("b", Permission.COLOS)):
        with pytest.raises(ForbiddenError):
            authorize(credential, account, any_of=[permission])
