"""Deadlines and bounds of connections, over sockets, on the event loop of the product.

A deadline that has to pass is a fraction of a second here; one that must not is a minute.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog
from colotrace_coordinator.api.http import acceptor
from colotrace_coordinator.api.http.connection import Deadlines
from colotrace_coordinator.api.http.server import HttpServer, Limits, ServerCertificate
from colotrace_coordinator.listen import Address, listen
from eventually import until
from fleet.authority import Authority
from starlette.types import Receive, Scope, Send
from unit.coordinator.api.test_server import answer, certificate

GET = b"GET /%s HTTP/1.1\r\nHost: test\r\n\r\n"
LONG = 60.0


class App:
    """Answers with the path; keeps what it was asked, and waits while it is told to hold."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.clients: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.size = 0
        self.hold = False

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        refused = scope["state"].get("refused")
        self.asked.append(scope["path"])
        if self.hold:
            scope["state"]["hold"] = True
        self.clients.append(scope["client"][0])
        await self.go.wait()
        body = type(refused).__name__.encode() if refused else scope["path"].encode()
        body += b" " * self.size
        length = str(len(body)).encode()
        start = {"type": "http.response.start", "headers": [(b"content-length", length)]}
        await send({**start, "status": 503 if refused else 200})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(
    app: App, *, tls: ServerCertificate | None = None, **limits: Any
) -> AsyncIterator[tuple[HttpServer, tuple[str, int]]]:
    trusted = limits.pop("trusted", ())
    deadlines = dict.fromkeys(("head_s", "keep_alive_s", "drain_s", "linger_s"), LONG)
    told = Deadlines(**{**deadlines, **limits.pop("deadlines", {})})
    server = HttpServer(
        app, tls=tls, trusted_proxies=trusted, limits=Limits(deadlines=told, **limits)
    )
    sockets = listen(Address("127.0.0.1", 0), flag="--http")
    where = sockets[0].getsockname()
    task = asyncio.create_task(server.serve(sockets))
    try:
        yield server, where
    finally:
        app.go.set()
        server.stop()
        await task
        assert server.connections == 0


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, where: tuple[str, int], data: bytes = b"") -> "Client":
        client = cls(*await asyncio.open_connection(*where))
        client.writer.write(data)
        return client

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        self.writer.write(data)
        return await self.answer()

    async def answer(self) -> tuple[int, bytes]:
        status, _, body = await answer(self.reader)
        return status, body

    async def ended(self) -> bool:
        """The server has closed; what it said before is thrown away."""
        with contextlib.suppress(ConnectionError):
            await self.reader.read()
        self.writer.close()
        return True


async def test_body_that_never_comes_after_its_answer() -> None:
    async with serving(App(), deadlines={"drain_s": 0.1}) as (_, where):
        for first in (b"", b"x"):
            client = await Client.to(where)
            sent = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
            assert (await client.ask(sent))[0] == 200
            client.writer.write(first)
            assert await client.ended()


async def test_body_that_comes_after_its_answer_is_no_request() -> None:
    app = App()
    async with serving(app) as (_, where):
        client = await Client.to(where)
        inner = GET % b"smuggled"
        head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(inner)
        assert (await client.ask(head))[0] == 200
        assert await client.ask(inner + GET % b"b") == (200, b"/b")
        chunked = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert await client.ask(chunked) == (200, b"/c")
        whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
        assert await client.ask(whole + GET % b"d") == (200, b"/d")
        assert app.asked == ["/a", "/b", "/c", "/d"]
        client.writer.close()


async def test_large_body_after_its_answer_ends_the_connection() -> None:
    async with serving(App(), deadlines={"drain_bytes": 10, "linger_s": 0.1}) as (_, where):
        client = await Client.to(where)
        sent = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"
        assert (await client.ask(sent))[0] == 200
        assert await client.ended()


async def test_kept_connection_ends() -> None:
    async with serving(App(), deadlines={"keep_alive_s": 0.1}) as (_, where):
        client = await Client.to(where)
        assert (await client.ask(GET % b"a"))[0] == 200
        assert await client.ended()


async def test_next_request_waits_for_the_answer_and_its_reader() -> None:
    """Requests that come before their turn are not looked at, and not read without a bound."""
    app = App()
    app.go.clear()
    app.size = 16 << 20  # more than the kernel keeps
    async with serving(app) as (_, where):
        client = socket.create_connection(where)
        client.setblocking(False)
        many, sent, refused = GET % b"a" * 1_000, 0, 0
        while refused < 50:
            await asyncio.sleep(0.001)
            try:
                sent += client.send(many)
                refused = 0
            except BlockingIOError:
                refused += 1
            assert sent < 64 << 20
        assert app.asked == ["/a"]
        app.go.set()
        await asyncio.get_running_loop().sock_recv(client, 1)
        assert app.asked == ["/a"]
        client.close()


async def test_answer_that_is_not_taken_ends_the_connection() -> None:
    app = App()
    app.size = 16 << 20
    async with serving(app, deadlines={"write_s": 0.1, "write_bytes": 1 << 30}) as (server, where):
        client = socket.create_connection(where)
        client.sendall(GET % b"a")
        await until(lambda: server.connections == 1)
        await until(lambda: server.connections == 0)
        client.close()


async def test_answer_that_is_taken_slowly_goes_on() -> None:
    """Each deadline asks for so many bytes, not for all."""
    app = App()
    app.size = 16 << 20
    async with serving(app, deadlines={"write_s": 0.5, "write_bytes": 1}) as (_, where):
        client = await Client.to(where, GET % b"a")
        await client.reader.readuntil(b"\r\n\r\n")
        left = app.size + 2
        while left:
            left -= len(await client.reader.readexactly(min(left, 1 << 20)))
            await asyncio.sleep(0.05)
        client.writer.close()


async def test_idle_connections_of_one_address_keep_nobody_out() -> None:
    async with serving(App(), connections=8, connections_per_address=4) as (server, where):
        sent = (
            b"",
            b"GET /",
            GET % b"a",
            b"GET /b HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        )
        held = [await Client.to(where, data) for data in sent * 5]
        await until(lambda: server.connections == 4)
        client = await Client.to(where)
        assert await client.ask(GET % b"c") == (200, b"/c")
        for each in (*held, client):
            each.writer.close()


@pytest.mark.parametrize("connections", [2, 100])
async def test_running_requests_at_the_bound_refuse_a_new_one(connections: int) -> None:
    """By an answer, for so many at a time; beyond, without one."""
    app = App()
    app.go.clear()
    bounds = {"connections": connections, "connections_per_address": 2, "refused": 1}
    async with serving(app, **bounds) as (_, where):
        running = [await Client.to(where, GET % b"a") for _ in range(2)]
        await until(lambda: len(app.asked) == 2)
        refused = await Client.to(where, GET % b"b")
        await until(lambda: len(app.asked) == 3)
        assert await (await Client.to(where)).ended()
        app.go.set()
        assert await refused.answer() == (503, b"TooManyConnectionsError")
        assert await refused.ended()
        for client in running:
            assert await client.answer() == (200, b"/a")
            client.writer.close()


async def test_client_over_its_limit_waits_and_others_do_not() -> None:
    """Its next request is not looked at for a while, sent before its answer or after."""
    app = App()
    app.hold = True
    async with serving(app, deadlines={"hold_s": 0.3}) as (_, where):
        held, other = await Client.to(where), await Client.to(where)
        began = asyncio.get_running_loop().time()
        assert await held.ask(GET % b"a" * 2) == (200, b"/a")
        app.hold = False
        assert await other.ask(GET % b"b") == (200, b"/b")
        assert app.asked == ["/a", "/b"]
        assert await held.answer() == (200, b"/a")
        assert asyncio.get_running_loop().time() - began > 0.29  # the clock counts milliseconds
        app.hold = True
        assert await other.ask(GET % b"b") == (200, b"/b")
        app.hold = False
        assert await other.ask(GET % b"c") == (200, b"/c")
        for client in (held, other):
            client.writer.close()


async def test_trusted_proxy_has_no_share_and_tells_its_client() -> None:
    app = App()
    trusted = [ip_network("127.0.0.1/32")]
    async with serving(app, connections_per_address=1, trusted=trusted) as (_, where):
        clients = [await Client.to(where) for _ in range(3)]
        for number, client in enumerate(clients):
            told = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n" % number
            assert (await client.ask(told))[0] == 200
            client.writer.close()
        assert app.clients == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]


async def test_handshake_that_does_not_come(tmp_path: Path) -> None:
    """It is counted, has a deadline, and gives its place to others."""
    authority = Authority(tmp_path)
    tls = certificate(authority)
    async with serving(App(), tls=tls, handshake_s=0.1) as (server, where):
        silent = await Client.to(where)
        await until(lambda: server.connections == 1)
        assert await silent.ended()
        await until(lambda: server.connections == 0)
    async with serving(App(), tls=tls, connections_per_address=2) as (server, where):
        held = [await Client.to(where) for _ in range(4)]
        await until(lambda: server.connections == 2)
        trust = ssl.create_default_context(cafile=authority.path)
        client = Client(*await asyncio.open_connection(*where, ssl=trust))
        assert await client.ask(GET % b"a") == (200, b"/a")
        for each in (*held, client):
            each.writer.close()


async def test_certificate_is_taken_again(tmp_path: Path) -> None:
    tls = certificate(Authority(tmp_path))
    async with serving(App(), tls=tls) as (server, where):
        authority = Authority(tmp_path, "newer")
        certificate(authority)
        server.reload_certificate()
        trust = ssl.create_default_context(cafile=authority.path)
        client = Client(*await asyncio.open_connection(*where, ssl=trust))
        assert (await client.ask(GET % b"a"))[0] == 200
        client.writer.close()


async def test_descriptors_that_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said once, an idle connection gives way, and those that wait are served later."""
    monkeypatch.setattr(acceptor, "PAUSE_S", 0.05)

    class Full(socket.socket):
        full = 0

        def accept(self) -> tuple[socket.socket, Any]:
            if Full.full:
                Full.full -= 1
                raise OSError(24, "Too many open files")
            return super().accept()

    server = HttpServer(App())
    listening = Full()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    where = listening.getsockname()
    with structlog.testing.capture_logs() as lines:
        task = asyncio.create_task(server.serve([listening]))
        idle = await Client.to(where)
        assert (await idle.ask(GET % b"a"))[0] == 200
        Full.full = 2
        client = await Client.to(where)
        assert await client.ask(GET % b"b") == (200, b"/b")
        assert await idle.ended()
        client.writer.close()
        server.stop()
        await task
    assert [line["event"] for line in lines] == ["connections_not_accepted"]
