"""One client's connection: a state machine between the socket and uvicorn's protocol.

It enforces deadlines and bounds that uvicorn does not have (docs/adr/0011). uvicorn gets one
request at a time, in bytes that `framing` has checked: the complete head, then the body. It gets
nothing of the next request before the application has returned and the answer is being sent.

Each state has a deadline (the fields of `Deadlines`):

    reading a head          head_s from its first byte, or from the start of the connection
    between requests        keep_alive_s
    reading a body          set by the application (`request/body.py`)
    body after the answer   drain_s and drain_bytes; linger_s if the connection then closes
    after a 429             hold_s, in which nothing is read, to slow down a flooding client
    writing an answer       write_s for each write_bytes that the client must at least take

The file is long because the states share the deadlines and the buffers of one connection.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from colotrace_coordinator.api.errors import ApiError, MalformedRequestError

from .framing import Body, FramingError, head_end, read_head
from .open_connections import OpenConnections

READ_BYTES = 16_384
"""The largest read from one connection, which bounds what it can buffer here."""

_LATE_S = 0.05
_REFUSAL = b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """In seconds and bytes; see the module's docstring."""

    head_s: float = 15.0
    keep_alive_s: float = 75.0
    drain_s: float = 5.0
    drain_bytes: int = 1 << 20
    linger_s: float = 1.0
    hold_s: float = 3.0
    write_s: float = 10.0
    write_bytes: int = 16_384
    # The part of an answer that may be buffered before the application has to wait.
    write_buffer: int = 16_384


class Server(Protocol):
    """uvicorn's protocol, as far as it is used: asyncio's protocol methods, and `shutdown`."""

    def connection_made(self, transport: Any) -> None:
        """See asyncio.BaseProtocol."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""

    def shutdown(self) -> None:
        """Close after the current answer."""


MakeServer = Callable[[dict[str, Any]], Server]
"""Makes the server of one connection. The mapping becomes scope["state"] of each request."""


class Connection(asyncio.BufferedProtocol):
    """Counted from the accepted socket until it is closed."""

    def __init__(
        self,
        open_connections: OpenConnections,
        make_server: MakeServer,
        *,
        deadlines: Deadlines,
        room: memoryview,
        refusal: ApiError | None = None,
    ) -> None:
        self._open = open_connections
        self._make_server = make_server
        self._deadlines = deadlines
        self._room = room
        self._refusal = refusal
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._server: Server | None = None
        self._state: dict[str, Any] = {"connection": self}
        self._inbox = bytearray()
        self._body: Body | None = None
        self._answering = False
        self._read_by = self._loop.time() + deadlines.head_s
        self._write_by = math.inf
        self._written = self._taken = 0
        self._unsent = b""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._handshake: asyncio.Task[Any] | None = None
        self._head_began = False
        self._searched = 0
        self._closing = self._ending = self._flushing = self._lingering = False
        self._hold = self._holding = self._looked_late = False
        self._discarded = 0
        self._reading = True
        self._server_reads = True

    # Called by the acceptor and `OpenConnections`.

    def handshakes(self) -> bool:
        """The calling task makes the connection: an eviction cancels it. False if the connection
        was evicted already."""
        self._handshake = asyncio.current_task()
        return not self._closing

    def evict(self) -> None:
        """Close immediately, and discard what is buffered."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
        elif self._handshake is not None:
            self._handshake.cancel()

    def shutdown(self) -> None:
        """Close now, or after the current answer."""
        self._ending = True
        if self._server is not None:
            self._server.shutdown()
        if not self._answering:
            self.close()

    # Called by the application's wrapper in `server`.

    def answered(self, *, whole: bool, hold: bool = False) -> None:
        """The application has returned. `whole` is False if it raised or was cancelled. With `hold`
        the client has to wait before its next request is read."""
        self._answering = False
        self._hold = hold
        if self._closing or self._transport is None:
            return
        self.flush()
        if not whole or self._ending or self._refusal is not None:
            self.close()
            return
        self._open.idle(self)
        now, waits = self._loop.time(), self._deadlines
        if self._transport.get_write_buffer_size():
            self._watch_writing()
        if self._body is not None and not self._body.done:
            if self._body.left > waits.drain_bytes:
                self.close()
                return
            self._wait_until(now + waits.drain_s)
        else:
            self._begin_next(now)

    # Called by uvicorn, which uses the connection as its transport.

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport. The head of an answer waits for its body, or for the end of
        the loop's turn: together they are one TLS record and one system call."""
        if self._transport is None or self._closing:
            return
        self._written += len(data)
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent += data
        if len(self._unsent) >= self._deadlines.write_buffer:
            self.flush()

    def flush(self) -> None:
        """Send what `write` keeps."""
        unsent, self._unsent = self._unsent, b""
        if unsent and self._transport is not None and not self._closing:
            self._transport.write(unsent)

    def close(self) -> None:
        """Close after the buffered answer has been sent, or its deadline has passed."""
        if self._closing or self._transport is None:
            return
        self.flush()
        self._closing = True
        self._inbox.clear()
        self._open.idle(self)
        self._read_by = math.inf
        if self._transport.get_write_buffer_size():
            self._watch_writing()
        if self._body is None or self._body.done:
            self._transport.close()
            return
        # The client still sends. Closing a socket with unread bytes resets the connection, and the
        # client could lose the answer. So its bytes are read and discarded for a moment.
        self._lingering = True
        self._wait_until(self._loop.time() + self._deadlines.linger_s)
        if self._transport.can_write_eof():  # not with TLS
            self._transport.write_eof()
        if not self._reading:
            self._transport.resume_reading()

    def is_closing(self) -> bool:
        """See asyncio.BaseTransport."""
        return self._closing or self._transport is None or self._transport.is_closing()

    def pause_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self._server_reads = False
        self._set_reading()

    def resume_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self._server_reads = True
        self._set_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio.BaseTransport."""
        return default if self._transport is None else self._transport.get_extra_info(name, default)

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = given = cast("asyncio.Transport", transport)
        self._handshake = None
        given.set_write_buffer_limits(high=self._deadlines.write_buffer)
        self._wait_until(self._loop.time() + self._deadlines.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._closing = True
        self._open.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._inbox.clear()
        self._unsent = b""
        if self._server is not None:
            self._server.connection_lost(exc)
        # Reference cycles would keep the buffers until the garbage collector runs.
        self._transport = self._server = None
        self._state.clear()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """The buffer that all connections share for reading."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        if self._closing:
            self._discard(nbytes)
            return
        self._inbox += self._room[:nbytes]
        self._advance()

    def _discard(self, nbytes: int) -> None:
        self._discarded += nbytes
        if self._discarded > self._deadlines.drain_bytes:
            self.evict()

    def eof_received(self) -> None:
        """A client that closes its side has disconnected: the transport closes."""

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._watch_writing()
        self._open.idle(self)  # a client that does not read may be evicted
        if self._server is not None:
            self._server.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._write_by = math.inf
        if self._answering:
            self._open.busy(self)
        if self._server is not None:
            self._server.resume_writing()
        if self._flushing and self._transport is not None and not self._closing:
            self._flushing = False
            self._transport.set_write_buffer_limits(high=self._deadlines.write_buffer)
            self._loop.call_soon(self._advance)

    # Requests.

    def _advance(self) -> None:
        """Pass buffered bytes to the server, as far as its state allows."""
        try:
            while self._inbox and not (self._closing or self._flushing or self._holding):
                if self._body is None:
                    if not self._take_head():
                        break
                elif self._body.done or not self._take_body(self._body):
                    break
        except FramingError:
            self._malformed()
        self._set_reading()

    def _take_head(self) -> bool:
        while self._inbox.startswith(b"\r\n"):  # RFC 9112, section 2.2
            del self._inbox[:2]
            self._searched = 0
        if not self._inbox:
            return False
        end = head_end(self._inbox, searched=self._searched)
        if not end:
            self._searched = len(self._inbox)
            if not self._head_began:
                self._head_began = True
                self._wait_until(self._loop.time() + self._deadlines.head_s)
            return False
        head = read_head(bytes(self._inbox[:end]))
        self._body = body = Body(head.length)
        taken = end + body.take(self._inbox[end:])
        self._begin(head.data + self._inbox[end:taken], taken)
        return True

    def _take_body(self, body: Body) -> bool:
        taken = body.take(self._inbox)
        if not taken:
            return False
        data = bytes(self._inbox[:taken])
        del self._inbox[:taken]
        if self._answering:
            self._to_server(data)
        elif body.seen > self._deadlines.drain_bytes:
            self.close()
        else:
            self._to_server(data)
            if body.done:
                self._begin_next(self._loop.time())
        return True

    def _begin(self, data: bytes, taken: int) -> None:
        """A request starts: its head is complete."""
        del self._inbox[:taken]
        self._answering = True
        self._open.busy(self)
        self._wait_until(math.inf)
        if self._refusal is not None:
            self._state["refused"] = self._refusal
        self._to_server(data)

    def _begin_next(self, now: float) -> None:
        """The request and its answer are complete; start with the next request."""
        self._body = None
        self._head_began = False
        self._searched = 0
        self._wait_until(now + self._deadlines.keep_alive_s)
        if self._hold:
            self._hold, self._holding = False, True
            self._open.idle(self, gives_way=True)
            self._loop.call_later(self._deadlines.hold_s, self._release)
            self._set_reading()
            return
        if not self._inbox or self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            # `resume_writing` is called when the buffer is empty.
            self._flushing = True
            self._transport.set_write_buffer_limits(high=0)
        else:
            self._loop.call_soon(self._advance)

    def _release(self) -> None:
        self._holding = False
        self._advance()

    def _malformed(self) -> None:
        """Have the application answer malformed bytes with a 400. If an earlier request is still
        being answered, its answer is dropped."""
        if self._body is not None:
            if self._server is not None:
                self._server.connection_lost(None)
            self.close()
            return
        self._inbox.clear()
        self._refusal = self._refusal or MalformedRequestError()
        self._body = Body(None)  # of unknown length
        self._begin(_REFUSAL, 0)

    def _to_server(self, data: bytes) -> None:
        if self._server is None:
            self._server = self._make_server(self._state)
            self._server.connection_made(self)
        self._server.data_received(data)

    # Deadlines.

    def _set_reading(self) -> None:
        """Pause reading while the server, or the next request, has to wait."""
        if self._closing or self._transport is None:
            return
        waits = bool(self._inbox) and (
            self._flushing or (self._body is not None and self._body.done)
        )
        reads = self._server_reads and not waits and not self._holding
        if reads != self._reading:
            self._reading = reads
            if reads:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _watch_writing(self) -> None:
        if self._write_by == math.inf:
            self._taken = self._written - self._waiting()
            self._write_by = self._loop.time() + self._deadlines.write_s
            self._arm(self._write_by)

    def _wait_until(self, at: float) -> None:
        self._read_by = at
        if at < math.inf:
            self._arm(at)

    def _waiting(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _arm(self, at: float) -> None:
        """Check the deadlines at `at`. A timer that is due earlier stays: a timer per request
        would cost more than a check that finds nothing due."""
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        due, now = self._timer_at, self._loop.time()
        self._timer, self._timer_at = None, math.inf
        if now - due > _LATE_S and not self._looked_late:
            # The loop was delayed: read what has arrived before judging the deadline.
            self._looked_late = True
            self._arm(now + _LATE_S)
            return
        self._looked_late = False
        if self._write_by <= now:
            waiting = self._waiting()
            if not waiting:
                self._write_by = math.inf
            elif self._written - waiting - self._taken < self._deadlines.write_bytes:
                self.evict()
                return
            else:
                self._taken = self._written - waiting
                self._write_by = now + self._deadlines.write_s
        if self._read_by <= now:
            self._read_by = math.inf
            if self._lingering and self._transport is not None:
                self._transport.close()
            else:
                self.close()
        following = min(self._read_by, self._write_by)
        if following < math.inf:
            self._arm(following)
