"""What only sockets show: bodies without a length or without an end, lost clients, stopping."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from colotrace_coordinator.api.context import context_of
from colotrace_coordinator.api.http.connection import Deadlines
from colotrace_coordinator.api.http.server import HttpServer, Limits, ServerCertificate
from colotrace_coordinator.api.routes import traceroute
from colotrace_coordinator.errors import SetupError
from colotrace_proto.deadlines import LATEST_S
from eventually import until
from fleet.authority import Authority
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from unit.coordinator.api.conftest import BEARER, PATH, serving
from unit.coordinator.api.fake_tracer import FakeTracer

BODY = json.dumps({"targets": ["192.0.2.1"]}).encode()


def head(*more: str) -> bytes:
    lines = [
        f"POST {PATH} HTTP/1.1",
        "Host: test",
        f"Authorization: {BEARER['Authorization']}",
        "Content-Type: application/json",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split()[1]), headers, body


async def test_chunked_body(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head("Transfer-Encoding: chunked"))
    for byte in BODY:
        writer.write(chunk(bytes([byte])))
    writer.write(chunk(b""))
    status, headers, _ = await answer(reader)
    assert status == 200
    assert "server" not in headers
    assert "date" in headers
    writer.close()


async def test_time_runs_from_the_head(
    address: tuple[str, int], tracer: FakeTracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the body takes to come is off the time for the answer, and the tracer knows."""
    real, read, given = traceroute.measure, traceroute.read_json_bytes, []

    async def read_slowly(request: Request) -> bytes:
        body = await read(request)
        context_of(request.scope).began -= 10
        return body

    async def measure(*arguments: Any, within_s: float, **named: Any) -> Any:
        given.append(within_s)
        return await real(*arguments, within_s=within_s, **named)

    monkeypatch.setattr(traceroute, "measure", measure)
    monkeypatch.setattr(traceroute, "read_json_bytes", read_slowly)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head(f"Content-Length: {len(BODY)}") + BODY)
    assert (await answer(reader))[0] == 200
    spent_s = tracer.asked[0].spent_s
    assert 10 <= spent_s < 15
    assert given == [LATEST_S - spent_s]
    writer.close()


async def test_chunked_body_that_is_too_large(address: tuple[str, int]) -> None:
    """Refused by what has come, without a length; the answer survives the client's sending on."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head("Transfer-Encoding: chunked"))
    for _ in range(40):
        writer.write(chunk(b" " * 4_096))
    writer.write(chunk(b""))
    status, headers, body = await answer(reader)
    assert status == 413
    assert headers["connection"] == "close"
    assert json.loads(body)["errors"][0]["code"] == 1013
    assert await reader.read() == b""
    writer.close()


async def test_endless_body(address: tuple[str, int]) -> None:
    """It is read for so long and no longer. Who never stops sending may miss the answer: the
    connection is reset on what is unread, and a reset overtakes it."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head("Transfer-Encoding: chunked"))

    async def send() -> None:
        while True:
            writer.write(chunk(b" " * 65_536))
            await writer.drain()

    sending = asyncio.create_task(send())
    with contextlib.suppress(ConnectionError):
        status, _, _ = await answer(reader)
        assert status == 413
    async with asyncio.timeout(20):
        await asyncio.wait([sending])
    assert isinstance(sending.exception(), ConnectionError)
    writer.close()


async def test_announced_body_is_not_asked_for(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head("Content-Length: 9999999", "Expect: 100-continue"))
    status, _, _ = await answer(reader)
    assert status == 413
    writer.close()


async def test_body_that_does_not_come(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = traceroute.read_json_bytes
    monkeypatch.setattr(traceroute, "read_json_bytes", lambda r: real(r, timeout_s=0.05))
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head(f"Content-Length: {len(BODY)}") + BODY[:5])
    status, headers, body = await answer(reader)
    assert status == 408
    assert headers["connection"] == "close"
    assert json.loads(body)["errors"][0]["code"] == 1014
    writer.close()


async def test_client_goes_away_while_sending(address: tuple[str, int], tracer: FakeTracer) -> None:
    """Nothing is measured, and the next client is served."""
    _, writer = await asyncio.open_connection(*address)
    writer.write(head(f"Content-Length: {len(BODY)}") + BODY[:5])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head(f"Content-Length: {len(BODY)}") + BODY)
    assert (await answer(reader))[0] == 200
    assert len(tracer.asked) == 1
    writer.close()


async def test_client_goes_away_while_waiting(address: tuple[str, int], tracer: FakeTracer) -> None:
    tracer.hold = asyncio.Event()
    _, writer = await asyncio.open_connection(*address)
    writer.write(head(f"Content-Length: {len(BODY)}") + BODY)
    await tracer.started.wait()
    writer.transport.abort()
    await asyncio.wait_for(tracer.cancelled.wait(), 20)


async def test_connection_is_kept(address: tuple[str, int]) -> None:
    """Errors that have read their request leave the connection open."""
    reader, writer = await asyncio.open_connection(*address)
    for path, status in ((PATH, 200), (PATH + "x", 404), (PATH, 200)):
        request = head(f"Content-Length: {len(BODY)}").replace(PATH.encode(), path.encode(), 1)
        writer.write(request + BODY)
        assert (await answer(reader))[0] == status
    writer.close()


async def test_large_head(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head("X: " + "x" * 70_000))
    assert (await reader.readline()).startswith(b"HTTP/1.1 4")
    writer.close()


async def test_stopping_lets_answers_end(
    make_app: Callable[..., Starlette], tracer: FakeTracer
) -> None:
    """No new connection is taken; the running answer still comes out."""
    tracer.hold = asyncio.Event()
    async with serving(make_app()) as (running, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(head(f"Content-Length: {len(BODY)}") + BODY)
        await tracer.started.wait()
        running.stop()
        while True:
            try:
                _, other = await asyncio.open_connection(*address)
            except ConnectionError:
                break
            other.close()
        tracer.hold.set()
        status, _, _ = await answer(reader)
        assert status == 200
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost: te", b"\r\n\r\n"])
async def test_head_that_does_not_come(make_app: Callable[..., Starlette], sent: bytes) -> None:
    limits = Limits(deadlines=Deadlines(head_s=0.05))
    async with serving(make_app(), limits=limits) as (_, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()


async def test_second_head_that_does_not_come(make_app: Callable[..., Starlette]) -> None:
    """Nor does it on a connection that has been used; an answer that takes longer is no matter."""
    limits = Limits(deadlines=Deadlines(head_s=0.05))
    async with serving(make_app(), limits=limits) as (_, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(head(f"Content-Length: {len(BODY)}") + BODY)
        assert (await answer(reader))[0] == 200
        writer.write(b"POST")
        assert await reader.read() == b""
        writer.close()


def checked(status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The error of an answer that has all that every answer has."""
    assert len(headers["cf-ray"]) == 16
    assert headers["ratelimit"].startswith('"default";r=')
    assert headers["ratelimit-policy"].startswith('"default";q=')
    assert headers["connection"] == "close"
    assert headers.get("x-should-retry") == ("false" if status >= 500 else None)
    envelope = json.loads(body)
    assert (envelope["success"], envelope["result"], envelope["messages"]) == (False, None, [])
    (error,) = envelope["errors"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        head("Content-Length: abc"),
        head("Content-Length: 1", "Content-Length: 2"),
        head("Transfer-Encoding: zip"),
        head("no header at all"),
        head("X: " + "x" * 40_000)[:-4],
    ],
)
async def test_what_is_not_http(address: tuple[str, int], sent: bytes) -> None:
    """Answered in the envelope, and then the connection ends."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    status, headers, body = await answer(reader)
    assert status == 400
    assert checked(status, headers, body)["code"] == 1019
    assert await reader.read() == b""
    writer.close()


async def test_a_second_request_that_is_not_http(address: tuple[str, int]) -> None:
    """The first one has its answer."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head(f"Content-Length: {len(BODY)}") + BODY + b"nonsense\r\n\r\n")
    assert (await answer(reader))[0] == 200
    assert checked(*await answer(reader))["code"] == 1019
    writer.close()


async def test_a_chunk_that_is_none(address: tuple[str, int], tracer: FakeTracer) -> None:
    """Nothing is measured, and the next client is served."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head("Transfer-Encoding: chunked") + b"zz\r\n")
    with contextlib.suppress(asyncio.IncompleteReadError):
        status, headers, body = await answer(reader)
        assert status == 400
        assert checked(status, headers, body)["code"] == 1019
    writer.close()
    assert not tracer.started.is_set()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(head(f"Content-Length: {len(BODY)}") + BODY)
    assert (await answer(reader))[0] == 200
    writer.close()


@pytest.mark.parametrize("parts", [1, 3])
async def test_whole_answer_is_sent_before_the_request_is_recorded(parts: int) -> None:
    """The log line and the metrics of a request do not delay its answer."""
    client = socket.socket()
    received = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in range(parts):
            more = part < parts - 1
            await send({"type": "http.response.body", "body": b"answer", "more_body": more})
        # In the same step of the loop, as the middleware records the request.
        received.append(client.recv(1_000))

    async with serving(app) as (_, address):
        client.settimeout(1.0)
        with client:
            await asyncio.to_thread(client.connect, address)
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            await until(lambda: bool(received))
    assert received[0].endswith(b"6\r\nanswer\r\n0\r\n\r\n")


def certificate(authority: Authority) -> ServerCertificate:
    """For 127.0.0.1."""
    own = authority.issue("server", also="127.0.0.1")
    return ServerCertificate(own.certificate, own.key)


async def test_https(make_app: Callable[..., Starlette], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(make_app(), tls=certificate(authority)) as (_, address):
        trust = ssl.create_default_context(cafile=authority.path)
        reader, writer = await asyncio.open_connection(*address, ssl=trust)
        writer.write(head(f"Content-Length: {len(BODY)}") + BODY)
        assert (await answer(reader))[0] == 200
        writer.close()
        await writer.wait_closed()


def test_certificate_that_cannot_be_used(
    make_app: Callable[..., Starlette], tmp_path: Path
) -> None:
    tls = certificate(Authority(tmp_path))
    tls.key.write_text("no key")
    with pytest.raises(SetupError, match="--tls-cert and --tls-key"):
        HttpServer(make_app(), tls=tls)
