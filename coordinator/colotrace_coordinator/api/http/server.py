"""The HTTP server: sockets, and connections with uvicorn's protocol behind each (docs/adr/0011).

uvicorn opens no listener, handles no signal and writes no log here.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import uvicorn
from colotrace_proto.deadlines import STOP_S
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from colotrace_coordinator.api.errors import ApiError
from colotrace_coordinator.errors import SetupError
from colotrace_coordinator.listen import Network

from .acceptor import Acceptor
from .clients import Proxies
from .connection import READ_BYTES, Connection, Deadlines, Server
from .memory import give_back
from .open_connections import OpenConnections

MAX_CONNECTIONS = 10_000
MAX_CONNECTIONS_PER_ADDRESS = 1_000
# Slightly above the deadline of an answer, so that the answer ends first.
_LAST_TURNS = 10


class Certificate(Protocol):
    """A certificate of HTTPS, which may change."""

    def load(self, context: ssl.SSLContext) -> None:
        """Use it, as it is now, in a context.

        Raises:
            SetupError: it cannot be used.
        """


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """PEM files of HTTPS."""

    certificate: Path
    key: Path

    def load(self, context: ssl.SSLContext) -> None:
        """See `Certificate`."""

        def no_password() -> str:
            raise SetupError("the key has a password")

        try:
            context.load_cert_chain(self.certificate, self.key, password=no_password)
        except (OSError, ssl.SSLError, SetupError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SetupError(
                f"--tls-cert and --tls-key cannot be used: {reason}; "
                "they are PEM files, the certificate with its chain, the key without a password"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on connections, and on the duration of each of their states."""

    connections: int = MAX_CONNECTIONS
    connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS
    refused: int = 100
    """Excess connections that stay open for their 503."""
    handshake_s: float = 10.0
    tls_shutdown_s: float = 3.0
    deadlines: Deadlines = field(default_factory=Deadlines)


class _Quiet(uvicorn.Server):
    """uvicorn without signal handlers: the entry point handles signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Served:
    """The application that uvicorn calls."""

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and notify its connection."""
        connection: Connection = scope["state"].pop("connection")
        scope["state"]["close"] = connection.close
        if scope["client"] is not None:
            host, port = scope["client"]
            forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            scope["client"] = self._proxies.client(host, forwarded), port
        whole = False

        async def send_at_once(message: Message) -> None:
            await send(message)
            # What follows in this step of the loop, the log line, does not delay a whole answer.
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                connection.flush()

        try:
            await self._app(scope, receive, send_at_once)
            whole = True
        finally:
            connection.answered(whole=whole, hold="hold" in scope["state"])


class HttpServer:
    """Serves until `stop`; then running answers end, and idle connections close."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tls: Certificate | None = None,
        trusted_proxies: Sequence[Network] = (),
        limits: Limits | None = None,
    ) -> None:
        """The client's address is taken from X-Forwarded-For if the peer is one of the
        `trusted_proxies`.

        Raises:
            SetupError: the certificate or its key is not usable.
        """
        self._proxies = Proxies(trusted_proxies)
        self._tls = tls
        self._limits = limits = limits or Limits()
        self._config = uvicorn.Config(
            _Served(app, self._proxies),
            interface="asgi3",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # Longer than ours, which takes effect first.
            timeout_keep_alive=int(limits.deadlines.keep_alive_s) + 60,
            timeout_graceful_shutdown=int(STOP_S),
        )
        self._config.load()
        self._context = _context(tls) if tls else None
        self._server = _Quiet(self._config)
        self._open = OpenConnections(
            most=limits.connections,
            most_per_address=limits.connections_per_address,
            most_refused=limits.refused,
        )
        self._room = memoryview(bytearray(READ_BYTES))
        self._acceptors: list[Acceptor] = []

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._open)

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on the listening sockets, and close them at the end."""
        self._acceptors = [
            Acceptor(
                listening,
                self._open,
                self._connection,
                proxies=self._proxies,
                tls=self._context,
                handshake_s=self._limits.handshake_s,
                tls_shutdown_s=self._limits.tls_shutdown_s,
            )
            for listening in sockets
        ]
        for acceptor in self._acceptors:
            acceptor.start()
        trimming = asyncio.create_task(give_back(lambda: self.connections), name="memory")
        try:
            await self._server.serve(sockets=[])
        finally:
            trimming.cancel()
            self._stop_accepting()
            for member in self._open.members():
                member.evict()
            for _ in range(_LAST_TURNS):  # the loop calls their connection_lost
                if len(self._open):
                    await asyncio.sleep(0)

    def stop(self) -> None:
        """Accept no new connection, let running answers end, and end `serve`."""
        self._stop_accepting()
        for member in self._open.members():
            cast("Connection", member).shutdown()
        self._server.should_exit = True

    def reload_certificate(self) -> None:
        """Reload the certificate and its key for new connections.

        Raises:
            SetupError: the files are not usable; the previous certificate stays in use.
        """
        if self._tls is not None and self._context is not None:
            _context(self._tls)
            self._tls.load(self._context)

    def _connection(self, refusal: ApiError | None) -> Connection:
        return Connection(
            self._open,
            self._behind,
            deadlines=self._limits.deadlines,
            room=self._room,
            refusal=refusal,
        )

    def _behind(self, state: dict[str, Any]) -> Server:
        # uvicorn's own way to make a protocol; tests/unit/coordinator/api/test_server.py and
        # test_connection.py notice a change of its arguments.
        make = cast("type[Any]", self._config.http_protocol_class)
        server: Server = make(
            config=self._config,
            server_state=self._server.server_state,
            app_state=state,
            _loop=asyncio.get_running_loop(),
        )
        return server

    def _stop_accepting(self) -> None:
        for acceptor in self._acceptors:
            acceptor.stop()


def _context(tls: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    # Clients of an API do not need renegotiation, which costs CPU time.
    context.options |= ssl.OP_NO_RENEGOTIATION
    tls.load(context)
    return context
