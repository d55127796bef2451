"""For those who run it: health, numbers, and the page that describes the API."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from colotrace_coordinator.model import AgentStatus, Trouble
from colotrace_proto.locations import Location
from colotrace_proto.measured import Status
from colotrace_proto.messages import AgentId, ColoName, Family, PacketType
from colotrace_proto.tags import Tag
from openapi_schema_validator import OAS30Validator
from unit.coordinator.api.conftest import BEARER, PATH
from unit.coordinator.api.fake_tracer import FakeTracer
from unit.coordinator.api.test_measurements import kept
from unit.coordinator.remembered import RememberedHistory

CONTRACT = json.loads(
    (Path(__file__).parents[3] / "contract" / "operation.json").read_text("utf-8")
)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.json()["success"] is True
    assert (await client.head(path)).status_code == 200


async def test_metrics(client: httpx.AsyncClient) -> None:
    """Counted by route, not by path, so that strangers cannot make up new series."""
    await client.post(PATH, json={"targets": ["a"]}, headers=BEARER)
    await client.get("/made/up")
    await client.request("BREW", "/made/up/2")
    text = (await client.get("/metrics")).text
    line = 'colotrace_http_requests_total{method="POST",route="traceroute",status="200"} 1.0'
    assert line in text
    assert 'method="GET",route="none",status="404"} 1.0' in text
    assert 'method="other",route="none",status="404"} 1.0' in text
    assert "colotrace_http_request_seconds_bucket" in text
    assert "made" not in text


async def test_docs_need_no_internet(client: httpx.AsyncClient) -> None:
    """Everything that the page loads comes from here."""
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "//" not in re.sub(r"//[^\n\"']*$", "", page.text, flags=re.M).replace("<!--", "")
    loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
    assert len(loaded) == 3
    for path in [*loaded, "openapi.json"]:
        asset = await client.get("/" + path)
        assert asset.status_code == 200, path
        assert asset.content
    assert '"validatorUrl": null' in page.text
    assert (await client.get("/docs/other.js")).status_code == 404


async def test_description_agrees_with_the_contract(client: httpx.AsyncClient) -> None:
    """Bounds, defaults, enums and security of the public operation, as ours describes them."""
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    operation = document["paths"][CONTRACT["path"]]["post"]
    public = CONTRACT["operation"]
    assert operation["operationId"] == public["operationId"]
    assert operation["security"] == public["security"]
    for name, scheme in CONTRACT["securitySchemes"].items():
        ours = document["components"]["securitySchemes"][name]
        assert scheme.items() <= ours.items()
    theirs = public["requestBody"]["content"]["application/json"]["schema"]
    ours = schemas["TracerouteRequest"]
    assert ours["required"] == theirs["required"]
    assert set(ours["properties"]) == set(theirs["properties"])
    for name, option in theirs["properties"]["options"]["properties"].items():
        mine = ours["properties"]["options"]["properties"][name]
        for word in ("type", "default", "minimum", "maximum"):
            assert mine.get(word) == option.get(word), (name, word)
        assert sorted(mine.get("enum", [])) == sorted(option.get("enum", []))
    result = public["responses"]["200"]["content"]["application/json"]["schema"]["properties"][
        "result"
    ]
    colo = result["items"]["properties"]["colos"]["items"]["properties"]
    # What only those see who ask for it, the public operation does not know.
    assert set(schemas["ColoRow"]["properties"]) == {*colo, "links"}
    assert "links" not in schemas["ColoRow"]["required"]
    assert set(schemas["Link"]["properties"]) == {"ttl", "from", "to", "flows"}
    assert ours["properties"]["options"]["properties"]["multipath"]["default"] is False
    assert schemas["ColoRow"]["properties"]["error"]["enum"] == colo["error"]["enum"]
    hop = colo["hops"]["items"]["properties"]
    assert set(schemas["Hop"]["properties"]) == set(hop)
    assert set(schemas["Node"]["properties"]) == set(hop["nodes"]["items"]["properties"])


async def test_answers_agree_with_the_description(
    client: httpx.AsyncClient, tracer: FakeTracer, history: RememberedHistory
) -> None:
    document = (await client.get("/openapi.json")).json()

    def check(response: httpx.Response, path: str, method: str, status: str) -> None:
        content = document["paths"][path][method]["responses"][status]["content"]
        shape: dict[str, Any] = {
            **content["application/json"]["schema"],
            "components": document["components"],
        }
        OAS30Validator(shape).validate(response.json())
        if "example" in content["application/json"]:
            OAS30Validator(shape).validate(content["application/json"]["example"])

    path = CONTRACT["path"]
    check(await client.post(PATH, json={"targets": ["a"]}, headers=BEARER), path, "post", "200")
    begun = await client.post(
        PATH, json={"targets": ["a"]}, headers={**BEARER, "Prefer": "respond-async"}
    )
    check(begun, path, "post", "202")
    check(await client.post(PATH, json={}, headers=BEARER), path, "post", "400")
    check(await client.post(PATH, json={}), path, "post", "400")
    check(await client.get(PATH + "/colos", headers=BEARER), path + "/colos", "get", "200")
    check(await client.get(PATH + "/colos"), path + "/colos", "get", "400")
    tracer.attached = [
        AgentStatus(
            id=AgentId("a"),
            colo=ColoName("den01"),
            version="0",
            families=frozenset(Family),
            packet_types=frozenset(PacketType),
            tags=frozenset({Tag("provider", "x")}),
            attached_since=0.0,
            last_trouble=trouble,
            location=location,
        )
        for trouble, location in (
            (None, None),
            (Trouble(1.0, "it was lost"), Location(39.74, -104.99)),
        )
    ]
    check(await client.get(PATH + "/agents", headers=BEARER), path + "/agents", "get", "200")
    one, other = kept(history), kept(history, status=Status.RUNNING)
    for tail in ("", "/graph"):
        answer = await client.get(f"{PATH}/{one.id}{tail}", headers=BEARER)
        check(answer, path + "/{id}" + tail, "get", "200")
    rows = await client.get(f"{PATH}/{one.id}/rows", headers=BEARER, params={"colo": "den01"})
    check(rows, path + "/{id}/rows", "get", "200")
    params = {"colo": "den01", "replies": "true"}
    rows = await client.get(f"{PATH}/{one.id}/rows", headers=BEARER, params=params)
    check(rows, path + "/{id}/rows", "get", "200")
    diff = await client.get(f"{PATH}/{one.id}/diff/{other.id}", headers=BEARER)
    check(diff, path + "/{id}/diff/{other}", "get", "200")
    check(await client.get(PATH, headers=BEARER), path, "get", "200")
    for about in ("/user/tokens/verify", "/accounts"):
        check(await client.get("/client/v4" + about, headers=BEARER), about, "get", "200")
        check(await client.get("/client/v4" + about), about, "get", "400")
    check(await client.get(PATH + "/" + "0" * 32, headers=BEARER), path + "/{id}", "get", "404")
    gone = await client.delete(f"{PATH}/{one.id}", headers=BEARER)
    check(gone, path + "/{id}", "delete", "200")
    jsonschema.Draft4Validator.check_schema(document["components"]["schemas"]["TracerouteRequest"])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_front_is_the_page(client: httpx.AsyncClient, method: str):
    """Somebody who opens the coordinator in a browser, without a token or JavaScript."""
    answer = await client.request(method, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    if method == "GET":
        assert 'href="docs"' in answer.text
