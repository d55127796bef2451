"""The application over a fake tracer and fake credentials, asked without sockets."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvloop
from colotrace_coordinator.answer import Answers
from colotrace_coordinator.api import app as module
from colotrace_coordinator.api.app import create_app
from colotrace_coordinator.api.http.server import HttpServer, Limits, ServerCertificate
from colotrace_coordinator.api.openapi import describe_api
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.listen import Address, listen
from colotrace_coordinator.measurements.registry import Measurements
from colotrace_coordinator.store.credentials import OF_KEYS, Credential, Lapsed, Permission
from colotrace_coordinator.store.secrets import short_digest
from colotrace_coordinator.turns import Turns
from colotrace_coordinator.web.files import Page
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.types import ASGIApp
from unit.coordinator.api.fake_tracer import FakeTracer
from unit.coordinator.remembered import RememberedHistory
from unit.coordinator.volatile import VolatileMemory

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
PATH = f"/client/v4/accounts/{ACCOUNT}/diagnostics/traceroute"
TOKEN = "ctr_" + "t" * 36
LIST_ONLY = "ctr_" + "l" * 36
EMAIL, KEY = "ops@example.net", "k" * 37
BEARER = {"Authorization": f"Bearer {TOKEN}"}
described = functools.cache(describe_api)
"""The real document, written once: that takes most of the time of `create_app`."""
page = functools.cache(Page)
"""The real page, read once."""
PAIR = {"X-Auth-Email": EMAIL, "X-Auth-Key": KEY}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Connections are tested on the event loop of the product."""
    if item.path.name == "test_connection.py":
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


class FakeCredentials:
    """One token for all, one to list colos only, one e-mail and key; counts its look-ups."""

    def __init__(self) -> None:
        self.tokens: dict[str, Credential | Lapsed] = {
            TOKEN: Credential("t1", {ACCOUNT: frozenset({Permission.TRACEROUTE})}),
            LIST_ONLY: Credential("t2", {ACCOUNT: frozenset({Permission.COLOS})}),
        }
        self.keys = {(EMAIL, KEY): Credential("k1", {ACCOUNT: OF_KEYS})}
        self.lookups = self.loads = 0
        self.fail: Exception | None = None
        self.fail_digests: Exception | None = None

    async def find_token(self, token: str) -> Credential | Lapsed | None:
        self._look()
        return self.tokens.get(token)

    async def find_key(self, email: str, key: str) -> Credential | None:
        self._look()
        return self.keys.get((email.lower(), key))

    async def digests(self) -> frozenset[bytes]:
        self.loads += 1
        if self.fail_digests:
            raise self.fail_digests
        secrets = [*self.tokens, *(key for _, key in self.keys)]
        return frozenset(map(short_digest, secrets))

    def _look(self) -> None:
        self.lookups += 1
        if self.fail:
            raise self.fail


def measurements_of(history: RememberedHistory) -> Measurements:
    """Measurements of which none runs here."""
    turns = Turns()
    answers = Answers(registry=Registry(VolatileMemory()), names=None, asns=None, turns=turns)
    return Measurements(answers, coordinator="c" * 32, turns=turns, history=history)


class Ready:
    """What `/readyz` asks."""

    def __init__(self) -> None:
        self.fail: Exception | None = None

    async def __call__(self) -> None:
        if self.fail:
            raise self.fail


@pytest.fixture
def tracer() -> FakeTracer:
    return FakeTracer()


@pytest.fixture
def history() -> RememberedHistory:
    return RememberedHistory()


@pytest.fixture
def credentials() -> FakeCredentials:
    return FakeCredentials()


@pytest.fixture
def ready() -> Ready:
    return Ready()


@pytest.fixture
def make_app(
    tracer: FakeTracer,
    credentials: FakeCredentials,
    ready: Ready,
    history: RememberedHistory,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Starlette]:
    monkeypatch.setattr(module, "describe_api", described)
    monkeypatch.setattr(module, "Page", page)

    def make(**more: Any) -> Starlette:
        return create_app(
            tracer=tracer,
            measurements=measurements_of(history),
            credentials=credentials,
            ready=ready,
            registry=CollectorRegistry(),
            version="0",
            **more,
        )

    return make


@pytest.fixture
async def client(make_app: Callable[..., Starlette]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
async def address(make_app: Callable[..., Starlette]) -> AsyncIterator[tuple[str, int]]:
    """The application behind a real server on loopback."""
    async with serving(make_app()) as (_, where):
        yield where


@asynccontextmanager
async def serving(
    app: ASGIApp, *, tls: ServerCertificate | None = None, limits: Limits | None = None
) -> AsyncIterator[tuple[HttpServer, tuple[str, int]]]:
    """The server and where it listens; stopped at the end."""
    server = HttpServer(app, tls=tls, limits=limits)
    sockets = listen(Address("127.0.0.1", 0), flag="--http")
    task = asyncio.create_task(server.serve(sockets=sockets))
    try:
        yield server, sockets[0].getsockname()
    finally:
        server.stop()
        await task
