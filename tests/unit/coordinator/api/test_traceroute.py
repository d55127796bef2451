"""The answer: its shape against the public operation, and its order."""

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from colotrace_coordinator.api.app import create_app
from colotrace_coordinator.model import Message
from colotrace_proto.measured import Options
from colotrace_proto.messages import PacketType
from prometheus_client import CollectorRegistry
from unit.coordinator.api.conftest import (
    ACCOUNT,
    BEARER,
    PAIR,
    PATH,
    FakeCredentials,
    Ready,
    measurements_of,
)
from unit.coordinator.api.fake_tracer import FakeTracer
from unit.coordinator.remembered import RememberedHistory

CONTRACT = json.loads(
    (Path(__file__).parents[3] / "contract" / "operation.json").read_text("utf-8")
)


def schema(status: str) -> dict[str, Any]:
    found: dict[str, Any] = CONTRACT["operation"]["responses"][status]["content"][
        "application/json"
    ]["schema"]
    return found


async def test_example(client: httpx.AsyncClient, tracer: FakeTracer) -> None:
    """The API's own example."""
    response = await client.post(
        PATH,
        json={
            "targets": ["203.0.113.1", "cloudflare.com"],
            "colos": ["den", "sin"],
            "options": {"max_ttl": 15, "packet_type": "icmp"},
        },
        headers=BEARER,
    )
    assert response.status_code == 200
    body = response.json()
    jsonschema.validate(body, schema("200"))
    assert list(body) == ["success", "errors", "messages", "result"]
    assert (body["success"], body["errors"], body["messages"]) == (True, [], [])
    assert [row["target"] for row in body["result"]] == ["203.0.113.1", "cloudflare.com"]
    for row in body["result"]:
        assert [c["colo"]["name"] for c in row["colos"]] == ["den01", "den02", "sin01"]
    first = body["result"][0]["colos"][0]
    assert first["colo"] == {"city": "Denver, CO, US", "name": "den01"}
    assert first["traceroute_time_ms"] == 8
    assert first["hops"][1]["nodes"] == [
        {"asn": "", "ip": "", "name": "NO RESPONSE", "packet_count": 0}
    ]
    assert first["hops"][2]["nodes"][0]["labels"] == ["!X"]
    assert first["target_summary"]["std_dev_rtt_ms"] == 0.011269427669584647
    [asked] = tracer.asked
    assert asked.account_id == ACCOUNT
    assert asked.options == Options(PacketType.ICMP, 15, 3, 1_000, 0)


@pytest.mark.parametrize("base", ["", "/client/v4"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("headers", [BEARER, PAIR])
async def test_both_bases(
    client: httpx.AsyncClient, base: str, slash: str, headers: dict[str, str]
) -> None:
    path = f"{base}/accounts/{ACCOUNT}/diagnostics/traceroute{slash}"
    response = await client.post(path, json={"targets": ["192.0.2.1"]}, headers=headers)
    assert response.status_code == 200


async def test_account_is_percent_decoded(client: httpx.AsyncClient) -> None:
    path = PATH.replace(ACCOUNT, "%30" + ACCOUNT[1:])
    response = await client.post(path, json={"targets": ["192.0.2.1"]}, headers=BEARER)
    assert response.status_code == 200


async def test_targets_stay_as_written(client: httpx.AsyncClient) -> None:
    """Untouched and in order, duplicates too; all colos by name."""
    targets = ["One.One.One.One", "2001:DB8::1", "One.One.One.One"]
    response = await client.post(PATH, json={"targets": targets}, headers=BEARER)
    result = response.json()["result"]
    assert [row["target"] for row in result] == targets
    names = [colo["colo"]["name"] for colo in result[0]["colos"]]
    assert names == ["den01", "den02", "fra01", "sin01"]


async def test_unknown_colos(client: httpx.AsyncClient, tracer: FakeTracer) -> None:
    """One error for each, and nothing is measured."""
    response = await client.post(
        PATH, json={"targets": ["192.0.2.1"], "colos": ["lhr", "den", ""]}, headers=BEARER
    )
    assert response.status_code == 400
    jsonschema.validate(response.json(), failure_schema())
    assert response.json()["errors"] == [
        {"code": 1005, "message": "Colo is not a valid colo", "source": {"pointer": f"/colos/{n}"}}
        for n in (0, 2)
    ]
    assert tracer.asked == []


def failure_schema() -> dict[str, Any]:
    """The operation's schema of a failure, less what makes it one that nothing can hold: a
    `result` that is null although typed an array, and names that are required twice."""
    found = schema("4XX")
    properties = {**found["properties"], "result": {"enum": [None]}}
    return {**found, "properties": properties, "required": sorted(set(found["required"]))}


async def test_faults_have_pointers(client: httpx.AsyncClient) -> None:
    response = await client.post(
        PATH, json={"targets": [""], "options": {"max_ttl": 65}}, headers=BEARER
    )
    assert response.status_code == 400
    jsonschema.validate(response.json(), failure_schema())
    found = {error["source"]["pointer"] for error in response.json()["errors"]}
    assert found == {"/targets/0", "/options/max_ttl"}


async def test_many_faults_are_capped(client: httpx.AsyncClient) -> None:
    body = {"targets": ["a"], "colos": ["x"] * 10_000}
    response = await client.post(PATH, json=body, headers=BEARER)
    assert len(response.json()["errors"]) == 100


async def test_messages(client: httpx.AsyncClient, tracer: FakeTracer) -> None:
    """What happened in words, with its pointer; the row has its code."""
    tracer.codes = {"sin01": 2}
    tracer.messages = [Message(1102, "sin01 was lost", "/result/0/colos/0"), Message(1110, "x")]
    response = await client.post(
        PATH, json={"targets": ["192.0.2.1"], "colos": ["sin"]}, headers=BEARER
    )
    body = response.json()
    jsonschema.validate(body, schema("200"))
    assert body["success"] is True
    assert body["messages"] == [
        {"code": 1102, "message": "sin01 was lost", "source": {"pointer": "/result/0/colos/0"}},
        {"code": 1110, "message": "x"},
    ]
    row = body["result"][0]["colos"][0]
    assert row["error"] == "Could not gather traceroute data: Code 2"


async def test_no_colo_known() -> None:
    """A 200 that says why it is empty; a colo that is named is still an error."""
    app = create_app(
        tracer=FakeTracer({}),
        measurements=measurements_of(RememberedHistory()),
        credentials=FakeCredentials(),
        ready=Ready(),
        registry=CollectorRegistry(),
        version="0",
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.post(PATH, json={"targets": ["a", "b"]}, headers=BEARER)
        body = response.json()
        jsonschema.validate(body, schema("200"))
        assert body["result"] == [{"target": "a", "colos": []}, {"target": "b", "colos": []}]
        assert body["messages"][0]["code"] == 1100
        assert "no agent has ever attached" in body["messages"][0]["message"]
        response = await client.post(
            PATH, json={"targets": ["a"], "colos": ["den"]}, headers=BEARER
        )
        assert response.json()["errors"][0]["code"] == 1005


async def test_colos(client: httpx.AsyncClient) -> None:
    response = await client.get(PATH + "/colos", headers=BEARER)
    assert response.status_code == 200
    assert response.json()["result"][0] == {
        "name": "den01",
        "city": "Denver, CO, US",
        "agents": 1,
        "families": ["ipv4", "ipv6"],
        "packet_types": ["icmp", "udp"],
        "state": "up",
        "location": [39.74, -104.99],
    }
    assert (await client.get(PATH + "/colos")).status_code == 400


@pytest.mark.parametrize("base", ["/client/v4", "", "/client/v4/", "/"])
@pytest.mark.parametrize("end", ["", "/"])
async def test_bases_that_clients_use(client: httpx.AsyncClient, base: str, end: str) -> None:
    """With and without the prefix; old clients with a base URL that ends in a slash double it."""
    path = f"{base}/accounts/{ACCOUNT}/diagnostics/traceroute{end}"
    url = httpx.URL("http://test").copy_with(raw_path=path.encode())
    response = await client.post(url, json={"targets": ["192.0.2.1"]}, headers=BEARER)
    assert (response.status_code, response.json()["success"]) == (200, True)
