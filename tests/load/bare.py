"""What gRPC alone costs a server for each agent: connections with one stream and an empty servicer.

    PYTHONPATH=tests .venv/bin/python -m load.bare [--plain] [CONNECTIONS]

The rest of what `works.attached` measures is the coordinator's own. The server has a process of its
own, with the options of the coordinator's.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import uvloop
from colotrace_coordinator.links.direct.options import OPTIONS
from fleet.authority import Authority, Pair
from grpc import aio

from bench import proc

from .apart import APART

_FIRST = 20
"""The server's first connections are not measured: it loads code for them."""
_AT_ONCE = 50
_SETTLED_S = 0.5


@dataclass(frozen=True, slots=True)
class Cost:
    """What one connection costs the server; and its client, which shares the machine."""

    memory_kb: float
    server_ms: float
    client_ms: float


async def _hold(_requests: object, context: aio.ServicerContext[bytes, bytes]) -> None:
    await context.read()
    await context.write(b"welcome")
    await context.read()


async def _serve(port: Connection, authority: bytes | None, pair: Pair) -> None:
    server = aio.server(options=OPTIONS)
    hold = grpc.stream_stream_rpc_method_handler(_hold)
    handler = grpc.method_handlers_generic_handler("Bare", {"Hold": hold})
    server.add_generic_rpc_handlers((handler,))
    if authority is None:
        port.send(server.add_insecure_port("127.0.0.1:0"))
    else:
        shown = [(pair.key.read_bytes(), pair.certificate.read_bytes())]
        credentials = grpc.ssl_server_credentials(
            shown, root_certificates=authority, require_client_auth=True
        )
        port.send(server.add_secure_port("127.0.0.1:0", credentials))
    await server.start()
    await server.wait_for_termination()


def _server(port: Connection, authority: bytes | None, pair: Pair) -> None:
    uvloop.run(_serve(port, authority, pair))


async def _open(
    stack: AsyncExitStack, number: int, port: int, credentials: grpc.ChannelCredentials | None
) -> None:
    target = f"127.0.0.1:{port}"
    # Channels whose options differ share no connection.
    options = (("grpc.use_local_subchannel_pool", 1), ("bare.number", number))
    channel = (
        aio.insecure_channel(target, options)
        if credentials is None
        else aio.secure_channel(target, credentials, options)
    )
    await stack.enter_async_context(channel)
    call = channel.stream_stream("/Bare/Hold")()
    await call.write(b"hello")
    await call.read()


async def _measured(
    server: int, port: int, credentials: grpc.ChannelCredentials | None, connections: int
) -> Cost:
    own = multiprocessing.current_process().pid or 0
    async with AsyncExitStack() as stack:
        for number in range(_FIRST):
            await _open(stack, number, port, credentials)
        before = proc.resident_mb(server), proc.cpu_ms(server), proc.cpu_ms(own)
        for begin in range(_FIRST, _FIRST + connections, _AT_ONCE):
            end = min(begin + _AT_ONCE, _FIRST + connections)
            await asyncio.gather(
                *(_open(stack, number, port, credentials) for number in range(begin, end))
            )
        time.sleep(_SETTLED_S)  # noqa: ASYNC251 - nothing else is to run here
        after = proc.resident_mb(server), proc.cpu_ms(server), proc.cpu_ms(own)
    memory, at_server, at_client = (
        (end - begin) / connections for begin, end in zip(before, after, strict=True)
    )
    return Cost(memory * 1024, at_server, at_client)


def measure(connections: int, *, tls: bool) -> Cost:
    """Open so many connections, by TLS with client certificates or not, each with one stream."""
    with tempfile.TemporaryDirectory(prefix="colotrace-bare-") as folder:
        authority = Authority(Path(folder))
        pair, own = authority.issue("server", also="127.0.0.1"), authority.issue("client")
        roots = authority.path.read_bytes() if tls else None
        credentials = None
        if tls:
            credentials = grpc.ssl_channel_credentials(
                roots, own.key.read_bytes(), own.certificate.read_bytes()
            )
        here, there = APART.Pipe()
        server = APART.Process(target=_server, args=(there, roots, pair), daemon=True)
        server.start()
        try:
            port, pid = int(here.recv()), server.pid or 0
            return uvloop.run(_measured(pid, port, credentials, connections))
        finally:
            server.terminate()
            server.join()


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("connections", nargs="?", type=int, default=500)
    parser.add_argument("--plain", action="store_true", help="without TLS")
    asked = parser.parse_args()
    cost = measure(asked.connections, tls=not asked.plain)
    print(
        f"{'without' if asked.plain else 'with'} TLS, {asked.connections:,} connections: "
        f"{cost.memory_kb:.0f} KB, {cost.server_ms:.2f} ms CPU of the server, "
        f"{cost.client_ms:.2f} ms of the client for each"
    )


if __name__ == "__main__":
    main()
