"""What clients that follow a measurement cost the coordinator's process.

    PYTHONPATH=tests .venv/bin/python -m load.watched [WATCHERS] [--rate EVENTS] [--plain]

A real HTTP server in a process of its own streams one measurement's events, each of one new hop, to
so many connections. All of them must get all events.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import ssl
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import msgspec
import uvloop
from colotrace_coordinator.api.edge import Edge
from colotrace_coordinator.api.http.server import HttpServer, ServerCertificate
from colotrace_coordinator.api.metrics import HttpMetrics
from colotrace_coordinator.api.streams import EventStream, Streams
from colotrace_coordinator.listen import Address, listen
from colotrace_coordinator.live.feed import Feed, Kind
from colotrace_proto.rows import Hop, Node
from eventually import until
from fleet.authority import Authority, Pair
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench import proc

from .apart import APART

_TURN_S = 0.01
_TTLS = 15
_EVENT = b"\nevent: "
_SETTLED_S = 0.5
_REQUEST = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time of the server for an event and watcher; its memory for a watcher; how late its event
    loop was at most; and the events that a watcher got, in how many pieces."""

    cpu_us: float
    memory_kb: float
    late_ms: float
    events: int
    pieces: float


class _Hops(msgspec.Struct):
    target: int
    colo: int
    hops: list[Hop]
    fresh: bool


async def _pump(feed: Feed, *, rate: int, seconds: float) -> None:
    """Put `rate` events a second, and the missing ones at the end if the machine is busy. Each is
    about another hop, so that none replaces another one."""
    loop = asyncio.get_running_loop()
    began, count, passed = loop.time(), 0, 0.0
    while passed < seconds:
        passed = loop.time() - began
        while count < min(passed, seconds) * rate:
            row, ttl = divmod(count, _TTLS)
            name = f"ae-{row}.edge{ttl}.den.example.net"
            node = Node("AS64500", "192.0.2.1", name, 3, 12.345678, 12.512345, 12.698765, 0.178901)
            hop = Hop(ttl + 1, 3, 0, [node])
            data = msgspec.json.encode(_Hops(target=0, colo=row, hops=[hop], fresh=False))
            feed.put(Kind.HOPS, data, row=row)
            count += 1
        await asyncio.sleep(_TURN_S)
    feed.put(Kind.END, b"{}")


async def _late(worst: list[float]) -> None:
    while True:
        due = time.monotonic() + _TURN_S
        await asyncio.sleep(_TURN_S)
        worst[0] = max(worst[0], time.monotonic() - due)


async def _serve(parent: Connection, pair: Pair | None, rate: int, seconds: float) -> None:
    feed = Feed()
    feed.put(Kind.START, b"{}")
    metrics = HttpMetrics(CollectorRegistry())
    streams = Streams(metrics=metrics)

    async def follow(_: Request) -> Response:
        with ExitStack() as stack:
            stack.enter_context(streams.enter("account"))
            return EventStream(feed, streams=streams, until_sent=stack.pop_all())

    edge = Middleware(Edge, metrics=metrics, untouched=None)
    app = Starlette(routes=[Route("/events", follow)], middleware=[edge])
    tls = ServerCertificate(pair.certificate, pair.key) if pair else None
    server = HttpServer(app, tls=tls)
    sockets = listen(Address("127.0.0.1", 0), flag="--http")
    serving = asyncio.create_task(server.serve(sockets))
    parent.send(sockets[0].getsockname()[1])
    await asyncio.to_thread(parent.recv)
    worst = [0.0]
    sampling = asyncio.create_task(_late(worst))
    await _pump(feed, rate=rate, seconds=seconds)
    await until(lambda: not streams.taken, within_s=60)
    sampling.cancel()
    parent.send(worst[0])
    await asyncio.to_thread(parent.recv)
    server.stop()
    await serving


def _server(parent: Connection, pair: Pair | None, rate: int, seconds: float) -> None:
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # its log
        uvloop.run(_serve(parent, pair, rate, seconds))


class _Watcher(asyncio.Protocol):
    def __init__(self) -> None:
        self.events = self.pieces = 0
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        self.events += data.count(_EVENT)
        self.pieces += 1
        if self.events and not self.begun.done():
            self.begun.set_result(None)
        # As much as could be the beginning of another one.
        self._rest = data[-len(_EVENT) + 1 :]
        if data.endswith(b"\r\n0\r\n\r\n") and not self.ended.done():
            self.ended.set_result(None)

    def close(self) -> asyncio.Future[None]:
        if self._transport is not None:
            self._transport.close()
        return self.closed

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("ended early"))


async def _measured(
    parent: Connection, pid: int, port: int, trusted: ssl.SSLContext | None, watchers: int
) -> Cost:
    loop = asyncio.get_running_loop()
    several: list[_Watcher] = []
    settled_mb = 0.0
    for number in range(watchers + 1):
        _, watcher = await loop.create_connection(
            _Watcher,
            "127.0.0.1",
            port,
            ssl=trusted,
            server_hostname="localhost" if trusted else None,
        )
        several.append(watcher)
        await watcher.begun  # then it waits for what comes
        if not number:  # the first request loads code
            settled_mb = proc.resident_mb(pid)
    time.sleep(_SETTLED_S)  # noqa: ASYNC251 - nothing else is to run here
    memory_kb = (proc.resident_mb(pid) - settled_mb) * 1024 / watchers
    before = proc.cpu_ms(pid)
    parent.send("go")
    await asyncio.gather(*(watcher.ended for watcher in several))
    late_s: float = await asyncio.to_thread(parent.recv)
    cpu_ms = proc.cpu_ms(pid) - before
    await asyncio.gather(*(watcher.close() for watcher in several))
    parent.send("stop")
    counts = {watcher.events for watcher in several}
    if len(counts) != 1:
        raise AssertionError(f"watchers got different numbers of events: {counts}")
    events = counts.pop() - 1  # without the start, which came before
    return Cost(
        cpu_us=cpu_ms * 1_000 / (events * len(several)),
        memory_kb=memory_kb,
        late_ms=late_s * 1_000,
        events=events,
        pieces=sum(watcher.pieces for watcher in several) / len(several) - 1,
    )


def measure(watchers: int, *, rate: int, seconds: float, tls: bool) -> Cost:
    """Let so many clients follow a measurement with `rate` events a second."""
    with tempfile.TemporaryDirectory(prefix="colotrace-watched-") as folder:
        authority = Authority(Path(folder))
        pair = authority.issue("server", also="localhost") if tls else None
        trusted = ssl.create_default_context(cafile=authority.path) if tls else None
        here, there = APART.Pipe()
        server = APART.Process(target=_server, args=(there, pair, rate, seconds), daemon=True)
        server.start()
        try:
            port, pid = int(here.recv()), server.pid or 0
            return uvloop.run(_measured(here, pid, port, trusted, watchers))
        finally:
            server.terminate()
            server.join()


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("watchers", nargs="?", type=int, default=500)
    parser.add_argument("--rate", type=int, default=100, help="events a second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--plain", action="store_true", help="without TLS")
    asked = parser.parse_args()
    cost = measure(asked.watchers, rate=asked.rate, seconds=asked.seconds, tls=not asked.plain)
    print(
        f"{'without' if asked.plain else 'with'} TLS, {asked.watchers:,} watchers, "
        f"{cost.events} events in {cost.pieces:.0f} pieces: {cost.cpu_us:.1f} µs of the server's "
        f"CPU for an event and watcher, {cost.memory_kb:.0f} KB a watcher, event loop late by "
        f"{cost.late_ms:.0f} ms at most"
    )


if __name__ == "__main__":
    main()
