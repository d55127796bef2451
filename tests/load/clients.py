"""Clients of the API in one process: open-loop, so that a stall shows as latency.

Started by `programs.Clients`. A command has one or more streams of requests. A stream with a rate
sends each request at its planned time, whether or not earlier ones were answered, and its latency
counts from the planned time. A stream without a rate sends back to back from `width` connections,
at least one request each. A stream goes to all coordinators in turn, or to the one that it names.
Every answer is compared row by row with `path` after the last stream has ended: rows of the
targets in `failing` must have failed, all others must have the whole path. One line of JSON for
each command and answer.
"""

import asyncio
import collections
import json
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import httptools
import msgspec
import uvloop

from .path import HOPS, PER_TTL, RTT_MS, addresses

ANSWER_S = 60.0
"""An answer that is not complete after this counts as a failure."""


class Connection(asyncio.Protocol):
    """A persistent HTTP/1.1 connection with one request at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._parser: Any = None
        self._body: list[bytes] = []
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        if self._parser is not None:
            self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The answer will not come."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"connection lost: {exc}"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; returns the status and the body.

        Raises:
            ConnectionError: the server closed the connection before the end of the answer.
        """
        self._parser, self._body = httptools.HttpResponseParser(self), []
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    # Called by the parser

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._body)))


class Pool:
    """Connections to one coordinator; grows as far as requests overlap."""

    def __init__(self, address: str, authority: str | None) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._tls = ssl.create_default_context(cafile=authority) if authority else None
        self._idle: list[Connection] = []

    async def open(self, count: int) -> None:
        """Have that many idle connections."""
        missing = count - len(self._idle)
        self._idle += [await self._connect() for _ in range(missing)]

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """One exchange on an idle connection, or on a new one."""
        connection = None
        while self._idle and connection is None:
            connection = self._idle.pop()
            if connection.transport.is_closing():
                connection = None
        connection = connection or await self._connect()
        answer = await connection.ask(request)
        self._idle.append(connection)
        return answer

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            Connection, self._host, self._port, ssl=self._tls
        )
        return connection


@dataclass(frozen=True, slots=True)
class Request:
    """A request as bytes, and what it asks for."""

    wire: bytes
    targets: list[str]
    colos: list[str]


@dataclass(frozen=True, slots=True)
class Done:
    """A request and its answer."""

    request: Request
    took_s: float
    status: int
    body: bytes
    failure: str
    """Of the connection, or ""."""


@dataclass(slots=True)
class Stream:
    """One stream of requests and what came of it."""

    name: str
    requests: Iterator[Request]
    rate: float
    width: int
    failing: frozenset[str]
    """Targets whose rows must fail."""
    done: list[Done] = field(default_factory=list)
    answered_at: float = 0.0
    """On the machine's monotonic clock: when the last answer had arrived."""

    async def run(self, pools: list[Pool], until: float) -> None:
        """Send until `until`, and wait for all answers."""
        async with asyncio.TaskGroup() as tasks:
            if not self.rate:
                for number in range(self.width):
                    tasks.create_task(self._back_to_back(pools[number % len(pools)], until))
                return
            planned, number = time.perf_counter(), 0
            while planned < until:
                await asyncio.sleep(planned - time.perf_counter())
                pool = pools[number % len(pools)]
                tasks.create_task(self._one(pool, next(self.requests), planned))
                number += 1
                planned += 1 / self.rate

    async def _back_to_back(self, pool: Pool, until: float) -> None:
        await self._one(pool, next(self.requests), time.perf_counter())
        while (now := time.perf_counter()) < until:
            await self._one(pool, next(self.requests), now)

    async def _one(self, pool: Pool, request: Request, planned: float) -> None:
        status, body, failure = 0, b"", ""
        try:
            async with asyncio.timeout(ANSWER_S):
                status, body = await pool.ask(request.wire)
        except OSError as error:
            failure = repr(error)
        self.answered_at = time.monotonic()
        self.done.append(Done(request, time.perf_counter() - planned, status, body, failure))

    def told(self) -> dict[str, Any]:
        """Sorted latencies, rows, and failures with their counts."""
        failures: collections.Counter[str] = collections.Counter()
        rows = size = 0
        for each in self.done:
            size += len(each.body)
            if each.failure or each.status != 200:
                text = each.body[:200].decode(errors="replace")
                failures[each.failure or f"{each.status}: {text}"] += 1
                continue
            rows += _check(each, self.failing, failures)
        return {
            "latencies_ms": sorted(each.took_s * 1e3 for each in self.done),
            "answered_at": self.answered_at,
            "rows": rows,
            "bytes": size,
            "failures": dict(failures.most_common(20)),
        }


class _Node(msgspec.Struct):
    ip: str
    packet_count: int
    min_rtt_ms: float
    max_rtt_ms: float


class _Hop(msgspec.Struct):
    packets_lost: int
    packets_sent: int
    packets_ttl: int
    nodes: list[_Node]


class _Colo(msgspec.Struct):
    name: str


class _Row(msgspec.Struct):
    colo: _Colo
    error: str
    hops: list[_Hop]


class _Target(msgspec.Struct):
    target: str
    colos: list[_Row]


class _Message(msgspec.Struct):
    code: int
    message: str


class _Envelope(msgspec.Struct):
    result: list[_Target]
    messages: list[_Message]


def _check(done: Done, failing: frozenset[str], failures: collections.Counter[str]) -> int:
    """Count the rows; each that is not as it must be is counted in `failures`."""
    request = done.request
    answer = msgspec.json.decode(done.body, type=_Envelope)
    found = [(each.target, row.colo.name, row) for each in answer.result for row in each.colos]
    asked = [(target, colo) for target in request.targets for colo in request.colos]
    if [(target, colo) for target, colo, _ in found] != asked:
        failures["the answer has other rows than the request, or in another order"] += 1
    wrong = 0
    for target, _, row in found:
        if target not in failing:
            wrong += bool(row.error) or not _whole(row, target)
        elif not row.error or _whole(row, target):
            failures["a row succeeded though its agent did not report in time"] += 1
    if wrong:
        words = {_shape(message.message) for message in answer.messages}
        failures[f"row: {'; '.join(sorted(words)[:3]) or 'incomplete'}"] += wrong
    return len(found)


def _whole(row: _Row, target: str) -> bool:
    """Whether the row has the path that the agents report."""
    if len(row.hops) != HOPS:
        return False
    return all(
        (hop.packets_ttl, hop.packets_sent, hop.packets_lost) == (ttl, PER_TTL, 0)
        and hop.nodes == [_Node(address, PER_TTL, rtt_ms, rtt_ms)]
        for ttl, (hop, address, rtt_ms) in enumerate(
            zip(row.hops, addresses(target), RTT_MS, strict=True), start=1
        )
    )


def _shape(words: str) -> str:
    """The message without names, so that equal faults are counted together."""
    return " ".join("…" if any(c.isdigit() for c in word) else word for word in words.split())


async def _run(asked: dict[str, Any], pools: dict[tuple[str, ...], list[Pool]]) -> dict[str, Any]:
    coordinators = tuple(asked["addresses"])
    if coordinators not in pools:
        pools[coordinators] = [Pool(each, asked.get("authority")) for each in coordinators]
    streams = [
        Stream(
            each["name"],
            _requests(asked["head"], each["bodies"]),
            each.get("rate", 0.0),
            each.get("width", 1),
            frozenset(each.get("failing", ())),
        )
        for each in asked["streams"]
    ]
    for pool in pools[coordinators]:
        await pool.open(sum(stream.width for stream in streams))
    cpu_s, began = time.process_time(), time.perf_counter()
    until = began + asked["seconds"]
    async with asyncio.TaskGroup() as tasks:
        for stream, each in zip(streams, asked["streams"], strict=True):
            at = each.get("at", range(len(coordinators)))
            tasks.create_task(stream.run([pools[coordinators][index] for index in at], until))
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    told = {stream.name: stream.told() for stream in streams}
    return {"took_s": took_s, "cpu_ms": cpu_s * 1e3, "streams": told}


def _requests(head: str, bodies: list[dict[str, Any]]) -> Iterator[Request]:
    """The requests, in turn, for ever. A request that comes again is another one by its
    `wait_time`, so that no two are coalesced."""
    number = 0
    while True:
        for body in bodies:
            number += 1
            options = {**body["options"], "wait_time": 1 + number % 5}
            text = json.dumps({**body, "options": options}).encode()
            wire = f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text
            yield Request(wire, body["targets"], body["colos"])


async def _obey() -> None:
    """Handle commands until the input ends."""
    pools: dict[tuple[str, ...], list[Pool]] = {}
    lines = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    print(json.dumps({"ready": True}), flush=True)
    while line := await lines.readline():
        try:
            told = await _run(json.loads(line), pools)
        except* OSError as errors:
            told = {"error": repr(errors.exceptions[0])}
        print(json.dumps(told), flush=True)


def main() -> None:
    """Run until the input ends."""
    uvloop.run(_obey())


if __name__ == "__main__":
    main()
