"""What a client learns of its own credential: whether its token works, and its accounts."""

import asyncio
from collections.abc import Callable
from typing import Any

import cloudflare
import httpx
import pytest
from cloudflare import AsyncCloudflare, Cloudflare
from colotrace_coordinator.store.credentials import OF_KEYS, Credential, Lapse, Lapsed, Permission
from starlette.applications import Starlette
from unit.coordinator.api.conftest import (
    ACCOUNT,
    BEARER,
    EMAIL,
    KEY,
    PAIR,
    PATH,
    TOKEN,
    FakeCredentials,
)
from unit.coordinator.api.test_status_table import errors

OLD = {"Authorization": "Bearer old"}
CHAINS = {
    Lapse.EXPIRED: [{"code": 1026, "message": "The token has expired"}],
    Lapse.REVOKED: [{"code": 1027, "message": "The token was revoked"}],
}


@pytest.mark.parametrize("base", ["/client/v4", "", "/client/v4/", "/"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_token_that_works(client: httpx.AsyncClient, base: str, slash: str) -> None:
    answer = await client.get(f"http://test{base}/user/tokens/verify{slash}", headers=BEARER)
    assert answer.status_code == 200
    assert answer.json()["result"] == {"id": "t1", "status": "active"}
    words = "This API Token is valid and active"
    assert answer.json()["messages"] == [{"code": 10000, "message": words}]
    assert (
        await client.get(f"http://test{base}/accounts{slash}", headers=BEARER)
    ).status_code == 200


@pytest.mark.parametrize(
    ("why", "status"), [(Lapse.EXPIRED, "expired"), (Lapse.REVOKED, "disabled")]
)
async def test_lapsed_token(
    client: httpx.AsyncClient, credentials: FakeCredentials, why: Lapse, status: str
) -> None:
    """Told by its status where the request is about the token, refused as ever elsewhere."""
    credentials.tokens["old"] = Lapsed("t3", why, expires_at=1_798_761_600)
    told = await client.get("/user/tokens/verify", headers=OLD)
    assert told.status_code == 200
    result = {"id": "t3", "status": status, "expires_on": "2027-01-01T00:00:00.000Z"}
    assert told.json()["result"] == result
    assert told.json()["messages"] == []
    for response in (
        await client.get("/accounts", headers=OLD),
        await client.post(PATH, json={"targets": ["a"]}, headers=OLD),
    ):
        [error] = errors(response, 401)
        assert (error["code"], error["message"]) == (10000, "Authentication error")
        assert error["error_chain"] == CHAINS[why]


async def test_verifying_is_no_way_round_the_limit_of_failures(
    make_app: Callable[..., Starlette], credentials: FakeCredentials
) -> None:
    credentials.tokens["old"] = Lapsed("t3", Lapse.EXPIRED)
    transport = httpx.ASGITransport(make_app(failures_per_window=2))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        first = await client.get("/user/tokens/verify", headers=OLD)
        assert first.headers["ratelimit"].startswith('"default";r=1;')
        wrong = await client.get("/user/tokens/verify", headers={"Authorization": "Bearer no"})
        assert errors(wrong, 401) == [{"code": 10000, "message": "Authentication error"}]
        for _ in range(3):
            errors(await client.get("/user/tokens/verify", headers=OLD), 429)
        again = await client.get("/user/tokens/verify", headers=BEARER)
        assert again.status_code == 200


async def test_verifying_needs_a_token(client: httpx.AsyncClient) -> None:
    [error] = errors(await client.get("/user/tokens/verify", headers=PAIR), 400)
    assert error == {"code": 9106, "message": "Missing Authorization header with a token"}
    [error] = errors(
        await client.get("/user/tokens/verify", headers={"Authorization": "Basic x"}), 400
    )
    assert error["code"] == 6003


async def test_accounts_of_a_token_with_few_permissions(
    client: httpx.AsyncClient, credentials: FakeCredentials
) -> None:
    """Also one that may do nothing learns so."""
    for permissions in ([], [Permission.COLOS], [Permission.READ, Permission.WRITE]):
        credentials.tokens[f"t{len(permissions)}"] = Credential(
            "t", {ACCOUNT: frozenset(permissions)}
        )
        headers = {"Authorization": f"Bearer t{len(permissions)}"}
        body = (await client.get("/accounts", headers=headers)).json()
        assert body["result"] == [
            {"id": ACCOUNT, "name": ACCOUNT, "type": "standard", "permissions": permissions}
        ]
        info = {"page": 1, "per_page": 20, "count": 1, "total_count": 1, "total_pages": 1}
        assert body["result_info"] == info


@pytest.mark.parametrize(
    ("query", "found", "pages"),
    [
        ({}, ["a1", "a2", "a3"], 1),
        ({"direction": "desc"}, ["a3", "a2", "a1"], 1),
        ({"per_page": 2}, ["a1", "a2"], 2),
        ({"per_page": 2, "page": 2}, ["a3"], 2),
        ({"per_page": 2, "page": 3}, [], 2),
        ({"name": "a2"}, ["a2"], 1),
        ({"name": "a"}, [], 0),
    ],
)
async def test_accounts_of_a_key_in_pages(
    client: httpx.AsyncClient,
    credentials: FakeCredentials,
    query: dict[str, Any],
    found: list[str],
    pages: int,
) -> None:
    grants = {f"a{n}": OF_KEYS for n in (2, 1, 3)}
    credentials.keys[EMAIL, KEY] = Credential("k1", grants)
    body = (await client.get("/accounts", headers=PAIR, params=query)).json()
    assert [account["id"] for account in body["result"]] == found
    assert body["result_info"]["count"] == len(found)
    assert body["result_info"]["total_pages"] == pages


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"page": "0"}, "?page"),
        ({"per_page": "101"}, "?per_page"),
        ({"direction": "up"}, "?direction"),
        ({"name": "x" * 101}, "?name"),
        ({"nmae": "x"}, "?nmae"),
    ],
)
async def test_bad_parameter_of_accounts(
    client: httpx.AsyncClient, query: dict[str, str], pointer: str
) -> None:
    [error] = errors(await client.get("/accounts", headers=BEARER, params=query), 400)
    assert (error["code"], error["source"]["pointer"]) == (1001, pointer)


async def test_official_sdk(address: tuple[str, int], credentials: FakeCredentials) -> None:
    """It asks for pages until one is empty."""
    credentials.tokens["old"] = Lapsed("t3", Lapse.EXPIRED, expires_at=1_798_761_600)
    url = f"http://{address[0]}:{address[1]}"
    async with AsyncCloudflare(api_token=TOKEN, base_url=url + "/client/v4") as client:
        verified = await client.user.tokens.verify()
        assert verified is not None
        assert (verified.id, verified.status, verified.expires_on) == ("t1", "active", None)
        accounts = [each async for each in client.accounts.list(per_page=1)]
        assert [(each.id, each.name, each.type) for each in accounts] == [
            (ACCOUNT, ACCOUNT, "standard")
        ]

    def call() -> None:
        with Cloudflare(api_token="old", base_url=url) as client:
            verified = client.user.tokens.verify()
            assert verified is not None
            assert verified.status == "expired"
            assert verified.expires_on is not None
            assert verified.expires_on.year == 2027
            with pytest.raises(cloudflare.AuthenticationError) as caught:
                client.accounts.list()
            assert caught.value.errors[0].code == 10000
            assert "The token has expired" in str(caught.value)

    await asyncio.to_thread(call)
