"""A server with the feed of one measurement, and its clients."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
from colotrace_coordinator.api.edge import Edge
from colotrace_coordinator.api.http.server import Limits
from colotrace_coordinator.api.metrics import HttpMetrics
from colotrace_coordinator.api.streams import EventStream, RowStream, Streams
from colotrace_coordinator.live.feed import Feed, Kind
from fleet.events import Event, Follower
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from unit.coordinator.api.conftest import serving


@dataclass
class Bed:
    """A server with one measurement's feed at /events and /rows."""

    feed: Feed = field(default_factory=Feed)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    every_s: float = 0.02
    silent_s: float = 15.0
    most: int = 2_000
    most_of_account: int = 1_000
    limits: Limits | None = None

    @asynccontextmanager
    async def run(self) -> AsyncIterator["Bed"]:
        metrics = HttpMetrics(self.registry)
        self.streams = Streams(
            metrics=metrics,
            most=self.most,
            most_of_account=self.most_of_account,
            every_s=self.every_s,
            silent_s=self.silent_s,
        )
        routes = [Route("/events", self.events), Route("/rows", self.rows)]
        app = Starlette(
            routes=routes, middleware=[Middleware(Edge, metrics=metrics, untouched=None)]
        )
        async with serving(app, limits=self.limits) as (self.server, self.address):
            self.url = f"http://{self.address[0]}:{self.address[1]}"
            async with httpx.AsyncClient(timeout=10) as self.client:
                yield self
        assert self.watchers() == 0
        assert self.streams.taken == 0

    async def events(self, request: Request) -> Response:
        with ExitStack() as stack:
            stack.enter_context(self.streams.enter(request.headers.get("account", "a")))
            return EventStream(
                self.feed,
                streams=self.streams,
                until_sent=stack.pop_all(),
                last_event_id=request.headers.get("last-event-id", ""),
                headers={"measurement-id": "0" * 32},
            )

    async def rows(self, _: Request) -> Response:
        with ExitStack() as stack:
            stack.enter_context(self.streams.enter("a"))
            return RowStream(self.feed, streams=self.streams, until_sent=stack.pop_all())

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0

    def watchers(self, stream: str = "events") -> int:
        return int(self.metric("colotrace_http_watchers", stream=stream))

    def put_hops(self, row: int, ttl: int, text: str) -> None:
        hop = {"packets_ttl": ttl, "nodes": [text]}
        data = {"target": 0, "colo": row, "hops": [hop], "fresh": False}
        self.feed.put(Kind.HOPS, json.dumps(data).encode(), row=row)

    def put_row(self, row: int, text: str = "") -> None:
        data = {"target": 0, "colo": row, "row": text}
        self.feed.put(Kind.ROW, json.dumps(data).encode(), row=row)

    def follower(self) -> Follower:
        return Follower(self.client)

    async def connect(self, path: str, *, receive_bytes: int | None = None) -> socket.socket:
        """A client that has asked, and reads nothing by itself."""
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, self.address)
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        return sock


def names(events: Iterable[Event]) -> list[str]:
    return [event.name for event in events]
