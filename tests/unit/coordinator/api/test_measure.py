"""While a measurement runs: the client that goes away, the clock, and too many at once."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
from colotrace_coordinator.api.errors import TooManyMeasurementsError
from colotrace_coordinator.api.measure import Admission
from colotrace_proto.running import RunningClock
from eventually import until
from starlette.applications import Starlette
from starlette.types import Message
from unit.coordinator.api.conftest import BEARER, PATH, TOKEN, FakeCredentials
from unit.coordinator.api.fake_tracer import FakeTracer

BODY = {"targets": ["192.0.2.1"]}
OTHER = "ctr_" + "o" * 36


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
    await asyncio.wait_for(tracer.cancelled.wait(), 20)
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
    (error,) = response.json()["errors"]
    assert error["code"] == 1017
    assert error["message"].startswith("The coordinator is overloaded")
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


async def test_too_many_at_once_of_one_credential(
    make_app: Callable[..., Starlette], tracer: FakeTracer, credentials: FakeCredentials
) -> None:
    """They leave a place for another credential of the account, which gets its answer."""
    credentials.tokens[OTHER] = replace(credentials.tokens[TOKEN], id="t9")
    tracer.hold = asyncio.Event()
    transport = httpx.ASGITransport(make_app(max_measurements=10))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        asked = [
            asyncio.create_task(client.post(PATH, json=BODY, headers=BEARER)) for _ in range(12)
        ]
        await until(lambda: sum(each.done() for each in asked) == 4)
        refused = [each.result() for each in asked if each.done()]
        assert {response.status_code for response in refused} == {429}
        assert {response.headers["retry-after"] for response in refused} == {"1"}
        assert "share" in refused[0].json()["errors"][0]["message"]
        other = asyncio.create_task(
            client.post(PATH, json=BODY, headers={"Authorization": f"Bearer {OTHER}"})
        )
        await until(lambda: len(tracer.asked) == 9)
        tracer.hold.set()
        assert (await other).status_code == 200
        assert Counter([(await each).status_code for each in asked]) == {200: 8, 429: 4}


def test_shares_of_accounts_and_callers() -> None:
    """Whatever accounts hold, the next one, and the next caller of each, gets a place."""
    admission = Admission(1_000)
    with ExitStack() as stack:

        def take_all(account: str, caller: str) -> int:
            for taken in range(1_000):
                try:
                    stack.enter_context(admission.enter(account, caller))
                except TooManyMeasurementsError:
                    return taken
            return 1_000

        assert take_all("a", "1") == 800
        assert 80 <= take_all("a", "2") <= 89
        assert take_all("a", "3") == 0
        assert take_all("b", "1") >= 80
        assert take_all("c", "1") >= 5
    with ExitStack() as stack:
        assert take_all("a", "1") == 800


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
