"""While a measurement runs: the client that goes away, the clock, and too many at once."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
from colotrace_proto.running import RunningClock
from starlette.applications import Starlette
from starlette.types import Message
from unit.coordinator.api.conftest import BEARER, PATH
from unit.coordinator.api.fake_tracer import FakeTracer

BODY = {"targets": ["192.0.2.1"]}


async def test_client_goes_away(make_app: Callable[..., Starlette], tracer: FakeTracer) -> None:
    """Its jobs are taken back at once, and nothing is sent."""
    tracer.hold = asyncio.Event()
    gone = asyncio.Event()
    sent: list[Message] = []
    received = iter([{"type": "http.request", "body": json.dumps(BODY).encode()}])

    async def receive() -> Message:
        for message in received:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {**BEARER, "content-type": "application/json"}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "client": ("192.0.2.7", 1),
        "server": ("test", 80),
    }
    call = asyncio.create_task(make_app()(scope, receive, send))
    await tracer.started.wait()
    gone.set()
    await asyncio.wait_for(tracer.cancelled.wait(), 1)
    await call
    assert sent == []


async def test_tracer_breaks_its_promise(
    make_app: Callable[..., Starlette], tracer: FakeTracer
) -> None:
    """The answer is out in time all the same, as an error, and the jobs are taken back."""
    tracer.hold = asyncio.Event()
    transport = httpx.ASGITransport(make_app(answer_within_s=0.05))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.post(PATH, json=BODY, headers=BEARER)
    assert response.status_code == 504
    assert response.headers["x-should-retry"] == "false"
    assert response.json()["errors"][0]["code"] == 1017
    assert tracer.cancelled.is_set()


async def test_too_many_at_once(make_app: Callable[..., Starlette], tracer: FakeTracer) -> None:
    """One more than may be is refused; the place is free again after the answer."""
    tracer.hold = asyncio.Event()
    transport = httpx.ASGITransport(make_app(max_measurements=1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        first = asyncio.create_task(client.post(PATH, json=BODY, headers=BEARER))
        await tracer.started.wait()
        refused = await client.post(PATH, json=BODY, headers=BEARER)
        assert refused.status_code == 503
        assert refused.json()["errors"][0]["code"] == 1015
        tracer.hold.set()
        assert (await first).status_code == 200
        assert (await client.post(PATH, json=BODY, headers=BEARER)).status_code == 200


async def test_answer_that_came_in_a_hold_up(
    make_app: Callable[..., Starlette], tracer: FakeTracer
) -> None:
    """A coordinator that was stopped for longer than an answer may take: the answer goes out."""
    tracer.hold = asyncio.Event()
    clock = RunningClock()
    app = make_app(answer_within_s=0.3, limit=clock.timeout)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        asked = asyncio.create_task(client.post(PATH, headers=BEARER, json=BODY))
        await tracer.started.wait()
        loop = asyncio.get_running_loop()
        loop.call_soon(time.sleep, 1.0)
        loop.call_later(0.5, tracer.hold.set)
        assert (await asked).status_code == 200
    clock.close()
