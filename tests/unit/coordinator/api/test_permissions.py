"""What a token may do, by its permission."""

import httpx
import pytest
from colotrace_coordinator.store.credentials import OF_KEYS, Credential, Permission
from unit.coordinator.api.conftest import ACCOUNT, BEARER, PATH, TOKEN, FakeCredentials

NOTHING, LIST, READ, WRITE = range(4)
"""Each includes what is before it."""


@pytest.mark.parametrize(
    ("permissions", "most"),
    [
        ([], NOTHING),
        ([Permission.COLOS], LIST),
        ([Permission.READ], READ),
        ([Permission.READ, Permission.COLOS], READ),
        ([Permission.WRITE], WRITE),
        ([Permission.TRACEROUTE], WRITE),
        ([Permission.ADMIN], WRITE),
        (OF_KEYS, WRITE),
    ],
)
async def test_permission_allows_its_routes_and_no_others(
    client: httpx.AsyncClient,
    credentials: FakeCredentials,
    permissions: list[Permission],
    most: int,
) -> None:
    credentials.tokens[TOKEN] = Credential("t1", {ACCOUNT: frozenset(permissions)})
    colos = await client.get(f"{PATH}/colos", headers=BEARER)
    assert colos.status_code == (200 if most >= LIST else 403)
    body = {"targets": ["192.0.2.1"]}
    measured = await client.post(PATH, json=body, headers=BEARER)
    assert measured.status_code == (200 if most >= WRITE else 403)


def test_key_measures_and_does_not_administrate() -> None:
    """A key never expires, and is in scripts."""
    assert frozenset(Permission) - OF_KEYS == {Permission.ADMIN}
