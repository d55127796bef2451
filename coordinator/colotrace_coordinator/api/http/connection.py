"""One client's connection: stands between the socket and uvicorn's protocol, and holds deadlines
and bounds from outside.

The server behind is given one request at a time, in bytes that `framing` has found to be sound:
the head when it is complete, then the body. Nothing of the next request reaches it before the
application has returned and the answer is on its way. docs/adr/0011 says why.

Every state has a deadline:

    a head                  HEAD_S from its first byte, or from the connection's begin
    between requests        KEEP_ALIVE_S
    a body                  the application's (`body.py`), while it waits for it
    a body after its answer DRAIN_S and DRAIN_BYTES; LINGER_S where the connection then ends
    after "too many"        HOLD_S, in which nothing is read: who floods is slowed, not others
    an answer               WRITE_S for each WRITE_BYTES at least that the client takes
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from colotrace_coordinator.api.errors import ApiError, MalformedRequestError

from .crowd import Crowd
from .framing import Body, FramingError, head_end, read_head

READ_BYTES = 16_384
"""Read at once from one connection, by which what it makes wait here is bounded."""

_LATE_S = 0.05
_REFUSAL = b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """In seconds and bytes; see the module."""

    head_s: float = 15.0
    keep_alive_s: float = 75.0
    drain_s: float = 5.0
    drain_bytes: int = 1 << 20
    linger_s: float = 1.0
    hold_s: float = 3.0
    write_s: float = 10.0
    write_bytes: int = 16_384
    # What of an answer may wait in memory before its next part is made.
    write_buffer: int = 16_384


class Server(Protocol):
    """What the server behind is given and tells: the public part of asyncio's protocols, and
    uvicorn's `shutdown`."""

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
        """Close when the running answer has ended."""


MakeServer = Callable[[dict[str, Any]], Server]
"""A server of one connection; the mapping becomes each request's scope["state"]."""


class Connection(asyncio.BufferedProtocol):
    """Counted in the crowd from the accepted socket to its end."""

    def __init__(
        self,
        crowd: Crowd,
        make_server: MakeServer,
        *,
        deadlines: Deadlines,
        room: memoryview,
        refusal: ApiError | None = None,
    ) -> None:
        self._crowd = crowd
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

    # What the acceptor and the crowd ask.

    def handshakes(self) -> bool:
        """Until the transport is there, the connection is the task that calls this; False if it
        has been evicted before."""
        self._handshake = asyncio.current_task()
        return not self._closing

    def evict(self) -> None:
        """Close at once, whatever waits."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
        elif self._handshake is not None:
            self._handshake.cancel()

    def shutdown(self) -> None:
        """Close now, or when the running answer has ended."""
        self._ending = True
        if self._server is not None:
            self._server.shutdown()
        if not self._answering:
            self.close()

    # What the application tells (see `server._Served`).

    def answered(self, *, whole: bool, hold: bool = False) -> None:
        """The application has returned; `whole` if it did so of itself, `hold` if the client has
        to wait before it asks again."""
        self._answering = False
        self._hold = hold
        if self._closing or self._transport is None:
            return
        if not whole or self._ending or self._refusal is not None:
            self.close()
            return
        self._crowd.idle(self)
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

    # What uvicorn asks of its transport.

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        if self._transport is not None and not self._closing:
            self._written += len(data)
            self._transport.write(data)

    def close(self) -> None:
        """Close when what was written has been taken, or its time is over."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        self._inbox.clear()
        self._crowd.idle(self)
        self._read_by = math.inf
        if self._transport.get_write_buffer_size():
            self._watch_writing()
        if self._body is None or self._body.done:
            self._transport.close()
            return
        # The client still sends. A connection that is closed on unread bytes is reset, and a
        # reset overtakes the answer: so what comes is read for a moment, and thrown away.
        self._lingering = True
        self._wait_until(self._loop.time() + self._deadlines.linger_s)
        if self._transport.can_write_eof():  # which TLS cannot
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

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = given = cast("asyncio.Transport", transport)
        self._handshake = None
        given.set_write_buffer_limits(high=self._deadlines.write_buffer)
        self._wait_until(self._loop.time() + self._deadlines.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        self._closing = True
        self._crowd.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._inbox.clear()
        if self._server is not None:
            self._server.connection_lost(exc)
        # References in circles would keep the buffers until the collector runs.
        self._transport = self._server = None
        self._state.clear()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """The room that all connections read into, one after the other."""
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
        """A client that has closed its side is taken to be gone (the transport closes)."""

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._watch_writing()
        self._crowd.idle(self)  # a client that does not read gives way, too
        if self._server is not None:
            self._server.pause_writing()

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""
        self._write_by = math.inf
        if self._answering:
            self._crowd.busy(self)
        if self._server is not None:
            self._server.resume_writing()
        if self._flushing and self._transport is not None and not self._closing:
            self._flushing = False
            self._transport.set_write_buffer_limits(high=self._deadlines.write_buffer)
            self._loop.call_soon(self._advance)

    # Requests.

    def _advance(self) -> None:
        """Pass on what may be passed on."""
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
        """A request is complete, as far as its head goes."""
        del self._inbox[:taken]
        self._answering = True
        self._crowd.busy(self)
        self._wait_until(math.inf)
        if self._refusal is not None:
            self._state["refused"] = self._refusal
        self._to_server(data)

    def _begin_next(self, now: float) -> None:
        """The last request and its answer are through."""
        self._body = None
        self._head_began = False
        self._searched = 0
        self._wait_until(now + self._deadlines.keep_alive_s)
        if self._hold:
            self._hold, self._holding = False, True
            self._crowd.idle(self, gives_way=True)
            self._loop.call_later(self._deadlines.hold_s, self._release)
            self._set_reading()
            return
        if not self._inbox or self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            # `resume_writing` comes when all of it has been taken.
            self._flushing = True
            self._transport.set_write_buffer_limits(high=0)
        else:
            self._loop.call_soon(self._advance)

    def _release(self) -> None:
        self._holding = False
        self._advance()

    def _malformed(self) -> None:
        """Answer what is no request as if it had been one, through the application; where a
        request is being answered, that is the client's loss."""
        if self._body is not None:
            if self._server is not None:
                self._server.connection_lost(None)
            self.close()
            return
        self._inbox.clear()
        self._refusal = self._refusal or MalformedRequestError()
        self._body = Body(None)  # whose end nobody knows
        self._begin(_REFUSAL, 0)

    def _to_server(self, data: bytes) -> None:
        if self._server is None:
            self._server = self._make_server(self._state)
            self._server.connection_made(self)
        self._server.data_received(data)

    # Deadlines.

    def _set_reading(self) -> None:
        """Read, unless the server or the next request has to wait."""
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
        """Look at the deadlines then. Later ones wait for the timer of an earlier one: setting one
        a request would cost more than looking once in vain."""
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        due, now = self._timer_at, self._loop.time()
        self._timer, self._timer_at = None, math.inf
        if now - due > _LATE_S and not self._looked_late:
            # The loop was held up: what has come meanwhile is read first, and then judged.
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
