"""Every row of the contract's table of failures, and the order in which they are checked."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from colotrace_coordinator.errors import (
    BrokerUnreachableError,
    StoppingError,
    StoreUnavailableError,
)
from starlette.applications import Starlette
from unit.coordinator.api.conftest import (
    ACCOUNT,
    BEARER,
    EMAIL,
    KEY,
    LIST_ONLY,
    PAIR,
    PATH,
    FakeCredentials,
    Ready,
)
from unit.coordinator.api.fake_tracer import FakeTracer

BODY = {"targets": ["192.0.2.1"]}
JSON = {"Content-Type": "application/json"}


def errors(response: httpx.Response, status: int) -> list[dict[str, Any]]:
    """The errors of a well-formed refusal with that status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["success"] is False
    assert body["result"] is None
    assert body["messages"] == []
    assert body["errors"]
    assert list(body) == ["success", "errors", "messages", "result"]
    assert len(response.headers["cf-ray"]) == 16
    assert response.headers["ratelimit"].startswith('"default";r=')
    assert response.headers["ratelimit-policy"].startswith('"default";q=')
    if status >= 500:
        assert response.headers["x-should-retry"] == "false"
    found: list[dict[str, Any]] = body["errors"]
    assert all(error["code"] >= 1000 and error["message"] for error in found)
    return found


@pytest.mark.parametrize("path", [PATH, PATH.removeprefix("/client/v4"), PATH + "/"])
@pytest.mark.parametrize("headers", [{}, {"X-Auth-Email": EMAIL}, {"X-Auth-Key": KEY}])
async def test_no_credentials(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    """Half a pair is no credential either."""
    assert errors(await client.post(path, json=BODY, headers=headers), 400) == [
        {
            "code": 9106,
            "message": "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
        }
    ]


@pytest.mark.parametrize(
    ("headers", "causes"),
    [
        ({"Authorization": "Basic YTpi"}, [6111]),
        ({"Authorization": "Bearer"}, [6111]),
        ({"Authorization": "Bearer "}, [6111]),
        ({"Authorization": ""}, [6111]),
        ({"Authorization": "Bearer a b"}, [6111]),
        ({"Authorization": "Bearer " + "a" * 257}, [6111]),
        ({"X-Auth-Email": "nobody", "X-Auth-Key": KEY}, [6102]),
        ({"X-Auth-Email": EMAIL, "X-Auth-Key": "short"}, [6103]),
        ({"X-Auth-Email": "", "X-Auth-Key": ""}, [6102, 6103]),
        ({"Authorization": "x", "X-Auth-Email": "x", "X-Auth-Key": KEY}, [6111, 6102]),
    ],
)
async def test_malformed_credentials(
    client: httpx.AsyncClient, headers: dict[str, str], causes: list[int]
) -> None:
    """The header that is malformed is named in the chain."""
    [error] = errors(await client.post(PATH, json=BODY, headers=headers), 400)
    assert (error["code"], error["message"]) == (6003, "Invalid request headers")
    assert [cause["code"] for cause in error["error_chain"]] == causes
    words = {6111: "Authorization", 6102: "X-Auth-Email", 6103: "X-Auth-Key"}
    for cause in error["error_chain"]:
        assert cause["message"] == f"Invalid format for {words[cause['code']]} header"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"X-Auth-Email": EMAIL, "X-Auth-Key": "x" * 37},
        {"X-Auth-Email": "other@example.net", "X-Auth-Key": KEY},
        {"Authorization": "Basic x", "X-Auth-Email": EMAIL, "X-Auth-Key": "x" * 37},
    ],
)
async def test_unknown_credentials(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    found = errors(await client.post(PATH, json=BODY, headers=headers), 401)
    assert found == [{"code": 10000, "message": "Authentication error"}]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH.replace(ACCOUNT, "other"), BEARER),
        (PATH.replace(ACCOUNT, "other"), PAIR),
        (PATH.replace(ACCOUNT, ACCOUNT.upper()), BEARER),
        (PATH, {"Authorization": f"Bearer {LIST_ONLY}"}),
    ],
)
async def test_wrong_account_or_permission(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    """The same words whether or not there is such an account."""
    found = errors(await client.post(path, json=BODY, headers=headers), 403)
    assert found == [{"code": 9109, "message": "Unauthorized to access requested resource"}]


@pytest.mark.parametrize(
    "path",
    [
        "/client/v4",
        "/client/v4/account",
        "/client/v4/accounts//diagnostics/traceroute",
        PATH.replace(ACCOUNT, "a" * 33),
        PATH.replace(ACCOUNT, "a%2Fb"),
        PATH + "//",
        PATH + "/colos/den",
        "/client/v4" + PATH,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_unknown_route(client: httpx.AsyncClient, path: str, method: str) -> None:
    """No route comes before credentials, and before the method."""
    [error] = errors(await client.request(method, path), 404)
    assert error["code"] == 7003
    assert error["message"].startswith("Could not route to /")
    assert error["message"].endswith(", perhaps your object identifier is invalid?")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", PATH, "GET, HEAD, POST"),
        ("PUT", PATH + "/", "GET, HEAD, POST"),
        ("DELETE", PATH.removeprefix("/client/v4"), "GET, HEAD, POST"),
        ("POST", PATH + "/" + "0" * 32, "DELETE, GET, HEAD"),
        ("POST", PATH + "/colos", "GET, HEAD"),
    ],
)
async def test_method_not_allowed(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    """The method comes before credentials."""
    response = await client.request(method, path)
    assert [error["code"] for error in errors(response, 405)] == [7001]
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
async def test_not_json_content(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post(
        PATH, content=b"{", headers={**BEARER, "Content-Type": content_type}
    )
    assert errors(response, 415) == [
        {"code": 9207, "message": "Content-type must be application/json."}
    ]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"],
)
async def test_json_content(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post(
        PATH, content=json.dumps(BODY), headers={**BEARER, "Content-Type": content_type}
    )
    assert response.status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, identity"])
async def test_compressed_body(client: httpx.AsyncClient, tracer: FakeTracer, coding: str) -> None:
    """Refused before it is read: a small one could become any number of bytes."""
    headers = BEARER | JSON | {"Content-Encoding": coding}
    response = await client.post(PATH, content=b"\x1f\x8b", headers=headers)
    assert [error["code"] for error in errors(response, 415)] == [1021]
    assert response.headers["accept-encoding"] == "identity"
    assert tracer.asked == []


async def test_body_that_is_said_to_be_as_it_is(client: httpx.AsyncClient) -> None:
    headers = BEARER | JSON | {"Content-Encoding": "Identity"}
    response = await client.post(PATH, content=json.dumps(BODY), headers=headers)
    assert response.status_code == 200


async def test_malformed_json(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, content=b'{"targets": [', headers=BEARER | JSON)
    assert errors(response, 400) == [{"code": 6007, "message": "Malformed JSON in request body"}]


async def test_large_body(client: httpx.AsyncClient, tracer: FakeTracer) -> None:
    """Refused by its announced size; at the limit it is taken."""
    body = json.dumps(BODY).encode()
    response = await client.post(PATH, content=body.ljust(65_537), headers=BEARER | JSON)
    assert [error["code"] for error in errors(response, 413)] == [1013]
    assert tracer.asked == []
    response = await client.post(PATH, content=body.ljust(65_536), headers=BEARER | JSON)
    assert response.status_code == 200


async def test_rate_limit(make_app: Callable[..., Starlette]) -> None:
    """Counted for each credential; headers tell what is left."""
    transport = httpx.ASGITransport(make_app(requests_per_window=2))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for left in (1, 0):
            response = await client.get(PATH + "/colos", headers=BEARER)
            assert response.status_code == 200
            assert response.headers["ratelimit"].startswith(f'"default";r={left};t=')
            assert response.headers["ratelimit-policy"] == '"default";q=2;w=300'
        response = await client.post(PATH, json=BODY, headers=BEARER)
        assert errors(response, 429) == [
            {
                "code": 10100,
                "message": "Please wait and consider throttling your request speed",
            }
        ]
        assert 1 <= int(response.headers["retry-after"]) <= 300
        assert (await client.post(PATH, json=BODY, headers=PAIR)).status_code == 200


async def test_guessing_is_slowed(make_app: Callable[..., Starlette]) -> None:
    """Whoever has failed too often hears no more than that; who is known from there, or new
    there, goes on. Having said nothing of who asks is no guess."""
    transport = httpx.ASGITransport(make_app(failures_per_window=3))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.post(PATH, json=BODY, headers=BEARER)
        for _ in range(5):
            response = await client.post(PATH, json=BODY)
            assert errors(response, 400)[0]["code"] == 9106
        for guess in range(3):
            headers = {"Authorization": f"Bearer guess{guess}"}
            assert (await client.post(PATH, headers=headers)).status_code == 401
        response = await client.post(PATH, headers={"Authorization": "Bearer guess"})
        errors(response, 429)
        assert "retry-after" in response.headers
        for headers in (BEARER, PAIR):
            assert (await client.post(PATH, json=BODY, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (RuntimeError("secret"), 500, 1000),
        (TimeoutError("the tracer's own"), 500, 1000),
        (StoreUnavailableError("postgresql://secret"), 503, 1016),
        (StoppingError("bye"), 503, 1018),
    ],
)
async def test_failures_of_ours(
    client: httpx.AsyncClient, tracer: FakeTracer, failure: Exception, status: int, code: int
) -> None:
    """They tell nothing of the inside, and are not to be tried again."""
    tracer.fail = lambda: failure
    response = await client.post(PATH, json=BODY, headers=BEARER)
    assert [error["code"] for error in errors(response, status)] == [code]
    assert "secret" not in response.text


async def test_database_down(
    client: httpx.AsyncClient, credentials: FakeCredentials, ready: Ready
) -> None:
    """Authentication and readiness both say so."""
    credentials.fail = ready.fail = StoreUnavailableError("no route to host")
    errors(await client.post(PATH, json=BODY, headers=BEARER), 503)
    errors(await client.get("/readyz"), 503)
    assert (await client.get("/healthz")).status_code == 200


async def test_broker_is_unreachable(client: httpx.AsyncClient, ready: Ready) -> None:
    """A load balancer is told; whoever asks nevertheless has an answer."""
    ready.fail = BrokerUnreachableError("the broker mqtt://secret is out of reach")
    response = await client.get("/readyz")
    assert [error["code"] for error in errors(response, 503)] == [1020]
    assert "secret" not in response.text
    assert (await client.post(PATH, json=BODY, headers=BEARER)).status_code == 200


async def test_order_of_checks(client: httpx.AsyncClient) -> None:
    """Each request is wrong in every later respect too."""
    other = PATH.replace(ACCOUNT, "other")
    plain = {"Content-Type": "text/plain"}
    large = b"{" * 70_000
    steps: list[tuple[str, str, dict[str, str], bytes, int]] = [
        ("GET", PATH + "x", plain, large, 404),
        ("PUT", other, plain, large, 405),
        ("POST", other, plain, large, 400),
        ("POST", other, plain | {"Authorization": "Bearer no"}, large, 401),
        ("POST", other, plain | BEARER, large, 403),
        ("POST", PATH, plain | BEARER, large, 415),
        ("POST", PATH, JSON | BEARER, large, 413),
        ("POST", PATH, JSON | BEARER, b"{", 400),
        ("POST", PATH, JSON | BEARER, b'{"colos": ["nowhere"]}', 400),
        ("POST", PATH, JSON | BEARER, b'{"targets": ["a"], "colos": ["nowhere"]}', 400),
    ]
    codes = []
    for method, path, headers, content, status in steps:
        response = await client.request(method, path, headers=headers, content=content)
        codes.append(errors(response, status)[0]["code"])
    assert codes == [7003, 7001, 9106, 10000, 9109, 9207, 1013, 6007, 1001, 1005]
