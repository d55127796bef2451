"""Accepts connections from a listening socket, up to the bounds.

`loop.create_server` is not used, for two reasons. It reports a TLS connection only after the
handshake, so connections that never finish one could not be counted. And it does not report that
descriptors have run out.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

import structlog

from colotrace_coordinator.api.errors import ApiError, TooManyConnectionsError

from .clients import Proxies, key, plain
from .connection import Connection
from .open_connections import OpenConnections

log = structlog.get_logger(__name__)

_AT_ONCE = 64
PAUSE_S = 0.2
_SEND_BUFFER = 262_144
_SAY_AGAIN_S = 60.0
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

MakeConnection = Callable[[ApiError | None], Connection]


class Acceptor:
    """Accepts on one socket until stopped. The connections stay open."""

    def __init__(
        self,
        listening: socket.socket,
        open_connections: OpenConnections,
        make: MakeConnection,
        *,
        proxies: Proxies,
        tls: ssl.SSLContext | None,
        handshake_s: float,
        tls_shutdown_s: float,
    ) -> None:
        self._listening = listening
        self._open = open_connections
        self._make = make
        self._proxies = proxies
        self._tls = tls
        self._handshake_s = handshake_s
        self._tls_shutdown_s = tls_shutdown_s
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._say_at = 0.0

    def start(self) -> None:
        """Accept from now on."""
        self._listening.setblocking(False)  # noqa: FBT003 - socket's
        self._resume()

    def stop(self) -> None:
        """Accept no more, and close the socket."""
        if self._again is not None:
            self._again.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    def _resume(self) -> None:
        self._again = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, where = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _SHORT:
                    self._pause(error)
                    return
                continue  # accept(2) reports errors of the new connection, too
            self._admit(accepted, str(where[0]))

    def _admit(self, accepted: socket.socket, address: str) -> None:
        counted = None if self._proxies.trusts(plain(address)) else key(address)
        refusal = None
        if not self._open.has_room(counted):
            if not self._open.has_room_to_refuse():
                accepted.close()
                return
            refusal = TooManyConnectionsError()
        connection = self._make(refusal)
        self._open.enter(connection, counted, refused=refusal is not None)
        task = self._loop.create_task(self._connect(accepted, connection), name="connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket, connection: Connection) -> None:
        """Hand the socket to the connection, after the TLS handshake if there is TLS."""
        if not connection.handshakes():
            accepted.close()
            return
        connected = False
        try:
            # Bounds what the kernel buffers for a client that does not read. Its default grows to
            # megabytes.
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            accepted.setblocking(False)  # noqa: FBT003 - socket's
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_s if self._tls else None,
                ssl_shutdown_timeout=self._tls_shutdown_s if self._tls else None,
            )
            connected = True
        except OSError as error:  # ssl.SSLError and TimeoutError among them
            log.debug("connection_failed", error=str(error))
        finally:
            if not connected:
                self._open.leave(connection)

    def _pause(self, error: OSError) -> None:
        """Descriptors or memory have run out: close an idle connection, and let new connections
        wait in the backlog for a moment."""
        self._open.close_an_idle_one()
        self._loop.remove_reader(self._listening)
        self._again = self._loop.call_later(PAUSE_S, self._resume)
        now = self._loop.time()
        if now >= self._say_at:
            self._say_at = now + _SAY_AGAIN_S
            log.warning(
                "connections_not_accepted",
                error=error.strerror,
                remedy="raise the limit of open files: LimitNOFILE= in the unit, ulimits in "
                "compose, or ulimit -Hn",
            )
