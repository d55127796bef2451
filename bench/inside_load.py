"""Many clients of the API in one process; each sends a request as soon as it has an answer.

Run by `driver.Driver.load`. Requests are prepared before, and answers checked after the
measurement, so that a request takes almost no time in this process.
"""

import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvloop

_WITHIN_S = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """A persistent connection; `answered` is called with each complete answer."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.answered: Callable[[bytes], None] = lambda _: None
        self.lost: Callable[[], None] = lambda: None
        self._came = bytearray()
        self._whole = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Report the loss."""
        self.lost()

    def data_received(self, data: bytes) -> None:
        """Collect data; call `answered` when an answer is complete."""
        self._came += data
        if not self._whole:
            head = self._came.find(_END)
            length = _LENGTH.search(self._came, 0, head + len(_END))
            if head < 0 or length is None:
                return
            self._whole = head + len(_END) + int(length[1])
        if len(self._came) >= self._whole:
            answer, self._came, self._whole = bytes(self._came), bytearray(), 0
            self.answered(answer)


class Client:
    """Sends requests to a coordinator until the time is over."""

    def __init__(self, address: str) -> None:
        self.took_s: list[float] = []
        self.answers: list[bytes] = []
        self._address = address
        self._connection: Connection | None = None
        self._requests: Iterator[bytes] = iter(())
        self._until = self._began = 0.0
        self._over: asyncio.Future[None] | None = None

    async def connect(self) -> None:
        """Connect, also if the coordinator has closed the idle connection."""
        if self._connection is None or self._connection.transport.is_closing():
            self._connection = await _connect(self._address)
            self._connection.answered, self._connection.lost = self._answered, self._lost

    async def run(self, requests: Iterator[bytes], until: float) -> None:
        """Send requests until `until`, and wait for the last answer."""
        self.took_s, self.answers = [], []
        self._requests, self._until = requests, until
        self._over = asyncio.get_running_loop().create_future()
        self._ask()
        await self._over

    def _ask(self) -> None:
        if self._connection is not None:
            self._began = time.perf_counter()
            self._connection.transport.write(next(self._requests))

    def _answered(self, answer: bytes) -> None:
        now = time.perf_counter()
        self.took_s.append(now - self._began)
        self.answers.append(answer)
        if now < self._until:
            self._ask()
        elif self._over is not None:
            self._over.set_result(None)

    def _lost(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(ConnectionError("a coordinator has closed a connection"))


class Load:
    """The operation of the helper."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, ...], list[Client]] = {}
        self._requests: dict[str, Iterator[bytes]] = {}

    async def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Run `clients` of the coordinators at `addresses` for `seconds`."""
        addresses = tuple(asked["addresses"])
        clients = self._clients.setdefault(addresses, [])
        while len(clients) < asked["clients"]:
            # Each client keeps to one coordinator, as with a balancer. If clients alternated, a
            # slow coordinator would make all of them wait.
            clients.append(Client(addresses[len(clients) % len(addresses)]))
        # The next run continues where this one ends, so that no two equal requests are close in
        # time.
        key = asked["head"]
        if key not in self._requests:
            self._requests[key] = itertools.cycle([_request(key, body) for body in asked["bodies"]])
        clients = clients[: asked["clients"]]
        for client in clients:
            await client.connect()
        cpu_s, began = time.process_time(), time.perf_counter()
        async with asyncio.timeout(asked["seconds"] + _WITHIN_S):
            until = began + asked["seconds"]
            await asyncio.gather(*(each.run(self._requests[key], until) for each in clients))
        took_s, used_s = time.perf_counter() - began, time.process_time() - cpu_s
        wrong = [text for each in clients for answer in each.answers if (text := _wrong(answer))]
        if wrong:
            return {"error": f"{len(wrong)} answers are incomplete: {wrong[0][:500]}"}
        return {
            "took_s": took_s,
            "cpu_ms": used_s * 1e3,
            "latencies_ms": sorted(each * 1e3 for client in clients for each in client.took_s),
        }


async def _connect(address: str) -> Connection:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(Connection, host.strip("[]"), int(port)))[1]


def _request(head: str, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    return f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text


def _wrong(answer: bytes) -> str:
    """The answer's text if it is not one colo's complete path; else ""."""
    head, _, body = answer.partition(_END)
    if not head.startswith(b"HTTP/1.1 200"):
        return answer.decode(errors="replace")
    row = json.loads(body)["result"][0]["colos"][0]
    whole = not row["error"] and all(not hop["packets_lost"] for hop in row["hops"])
    return "" if whole and len(row["hops"]) == 15 else body.decode(errors="replace")


async def main() -> None:
    """Handle requests until the input ends."""
    load = Load()
    lines = asyncio.StreamReader(limit=1 << 22)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    print(json.dumps({"ready": True}), flush=True)
    while line := await lines.readline():
        try:
            told = await load.run(json.loads(line))
        except (OSError, TimeoutError) as error:
            told = {"error": f"the API: {error!r}"}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
