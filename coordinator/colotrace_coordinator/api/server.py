"""uvicorn, started and stopped by us: no signal handlers of its own, no log of its own."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from colotrace_coordinator.errors import SetupError

from .edge import refuse
from .errors import ApiError, CrowdedError, MalformedRequestError
from .measure import ANSWER_WITHIN_S

if TYPE_CHECKING:
    from uvicorn._types import HTTPScope

MAX_HEAD = 32_768
MAX_CONNECTIONS = 10_000
KEEP_ALIVE_S = 75
HEAD_S = 15.0
"""How long a client may take over a request's head."""
# A little more than an answer takes at most, so that it is the answer that ends the wait.
_GRACE_S = int(ANSWER_WITHIN_S) + 1


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """PEM files of HTTPS."""

    certificate: Path
    key: Path


class _Protocol(H11Protocol):
    """Closes connections on which a head does not come to its end; uvicorn would wait for ever,
    and whoever opens enough of them would keep everyone else out.

    What uvicorn would refuse by itself, in plain text, passes through the application, so that it
    is answered and logged like all else.
    """

    _waiting: asyncio.TimerHandle | None = None
    _refused = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._app, self.app = self.app, self._admit

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.connections) > MAX_CONNECTIONS:
            refuse(scope, CrowdedError())
        await self._app(scope, receive, send)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        if self._refused:
            return  # the rest of the same
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            # The fault is in a body: whoever reads it hears that the client has gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state is not h11.IDLE:
            self.transport.close()
            return
        self._refuse(MalformedRequestError())

    def _refuse(self, error: ApiError) -> None:
        """Answer what is no request, as if it had been one."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": "",
            "root_path": self.root_path,
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "headers": [],
            "state": self.app_state.copy(),
        }
        refuse(scope, error)
        self.cycle = RequestResponseCycle(
            scope=cast("HTTPScope", scope),
            conn=self.conn,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            on_response=self.on_response_complete,
        )
        task = self.loop.create_task(self.cycle.run_asgi(self._app), name="refusal")
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class HttpServer(uvicorn.Server):
    """Stops when `should_exit` is set: running answers end, idle connections close."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the entry point's."""
        yield


def http_server(
    app: ASGIApp, *, tls: ServerCertificate | None = None, trusted_proxies: tuple[str, ...] = ()
) -> HttpServer:
    """A server of the application; of the `trusted_proxies` it takes the client's address from
    X-Forwarded-For.

    Raises:
        SetupError: the certificate or its key cannot be used.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=MAX_HEAD,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SetupError(
            f"--tls-cert and --tls-key cannot be used: {error.strerror or error}; "
            "they are PEM files, the certificate with its chain, the key without a password"
        ) from error
    return HttpServer(config)
