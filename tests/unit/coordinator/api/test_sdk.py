"""The official SDK, with only its base URL changed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import cloudflare
import pytest
from cloudflare import AsyncCloudflare, Cloudflare
from cloudflare.types.diagnostics.traceroute import Traceroute
from unit.coordinator.api.conftest import ACCOUNT, EMAIL, KEY, TOKEN
from unit.coordinator.api.fake_tracer import FakeTracer


@pytest.fixture
async def url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}/client/v4"


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncCloudflare]:
    async with AsyncCloudflare(api_token=TOKEN, base_url=url) as client:
        yield client


def check(rows: list[Traceroute], colos: list[str]) -> None:
    [row] = rows
    assert row.target == "one.one.one.one"
    assert row.colos is not None
    names = [colo.colo.name for colo in row.colos if colo.colo]
    assert names == colos
    hops = row.colos[0].hops
    assert hops is not None
    assert [hop.packets_ttl for hop in hops] == [1, 2, 3]
    assert hops[0].nodes is not None
    assert hops[0].nodes[0].mean_rtt_ms == 0.021
    assert hops[0].nodes[0].std_dev_rtt_ms == 0.011269427669584647
    assert row.colos[0].traceroute_time_ms == 8
    summary: Any = row.colos[0].target_summary
    assert summary["mean_rtt_ms"] == summary["mean_latency_ms"] == 0.021


async def test_sync(url: str) -> None:
    """Token, and e-mail with key."""

    def call(client: Cloudflare) -> list[Traceroute]:
        with client:
            return client.diagnostics.traceroutes.create(
                account_id=ACCOUNT, targets=["one.one.one.one"], colos=["den", "sin"]
            ).result

    for client in (
        Cloudflare(api_token=TOKEN, base_url=url),
        Cloudflare(api_email=EMAIL, api_key=KEY, base_url=url),
        Cloudflare(api_token="wrong", api_email=EMAIL, api_key=KEY, base_url=url),
    ):
        check(await asyncio.to_thread(call, client), ["den01", "den02", "sin01"])


async def test_async(client: AsyncCloudflare, tracer: FakeTracer) -> None:
    """Every option; the page is iterated as the SDK does."""
    rows = [
        row
        async for row in client.diagnostics.traceroutes.create(
            account_id=ACCOUNT,
            targets=["one.one.one.one"],
            colos=["fra01"],
            options={
                "max_ttl": 20,
                "packet_type": "tcp",
                "packets_per_ttl": 5,
                "port": 443,
                "wait_time": 2,
            },
        )
    ]
    check(rows, ["fra01"])
    options = tracer.asked[0].options
    assert (options.max_ttl, options.packets_per_ttl, options.port) == (20, 5, 443)
    assert (options.packet_type, options.wait_ms) == ("tcp", 2_000)


async def test_raw_response(client: AsyncCloudflare) -> None:
    raw = await client.diagnostics.traceroutes.with_raw_response.create(
        account_id=ACCOUNT, targets=["one.one.one.one"]
    )
    assert raw.headers["cf-ray"]
    page = await raw.parse()
    assert len(page.result[0].colos or []) == 4


async def test_unset_options_of_old_clients(client: AsyncCloudflare) -> None:
    rows = await client.diagnostics.traceroutes.create(
        account_id=ACCOUNT,
        targets=["one.one.one.one"],
        extra_body={
            "options": {
                "max_ttl": 0,
                "packet_type": "",
                "packets_per_ttl": 0,
                "port": 0,
                "wait_time": 0,
            },
            "colos": None,
        },
    )
    assert len(rows.result) == 1


async def test_errors(client: AsyncCloudflare, url: str) -> None:
    """As the SDK's exceptions, with their codes."""

    async def code(client: AsyncCloudflare, **more: Any) -> int:
        with pytest.raises(cloudflare.APIStatusError) as caught:
            await client.diagnostics.traceroutes.create(
                **{"account_id": ACCOUNT, "targets": ["a"], **more}
            )
        found: Any = caught.value
        return int(found.errors[0].code)

    assert await code(client, colos=["lhr"]) == 1005
    assert await code(client, account_id="other") == 9109
    assert await code(client, targets=[]) == 1001
    async with AsyncCloudflare(api_token="wrong", base_url=url) as wrong:
        assert await code(wrong) == 10000


async def test_failures_are_not_measured_again(client: AsyncCloudflare, tracer: FakeTracer) -> None:
    """The SDK tries a 5xx again, unless it is told not to."""
    tracer.fail = lambda: RuntimeError("boom")
    with pytest.raises(cloudflare.InternalServerError):
        await client.diagnostics.traceroutes.create(account_id=ACCOUNT, targets=["a"])
    assert len(tracer.asked) == 1
