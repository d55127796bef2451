"""Streams of a measurement that runs: its events (server-sent events), or its finished rows (lines
of JSON).

A response follows a `Feed`: first what there is, then what comes, at most one write each
`watch.EVERY_S`. A client that does not read makes `send` wait, and the connection's deadline for
writing evicts it if it takes nothing (`http/connection.py`). Meanwhile the feed keeps the newest
state only, so that a slow client costs one piece of `feed.PIECE_BYTES`.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import msgspec
from colotrace_formats.negotiation import Live
from colotrace_proto.codes import Code
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from colotrace_coordinator.errors import StoppingError
from colotrace_coordinator.lines import line
from colotrace_coordinator.live.feed import Feed, Kind, Piece
from colotrace_coordinator.live.watch import EVERY_S, SILENT_S, Reader, Watch
from colotrace_coordinator.model import Message
from colotrace_coordinator.shares import Shares

from .errors import OverloadedError, TooManyWatchersError
from .metrics import HttpMetrics

MAX_WATCHERS, MAX_WATCHERS_OF_ACCOUNT = 2_000, 1_000
RETRY_MS = 1_000
"""After this time a client is to connect again, if the stream ends without the event `end`."""
_SKIPPED = b"event: %s\ndata: %s\n\n" % (
    Kind.MESSAGE.encode(),
    msgspec.json.encode(
        line(
            Message(
                Code.EVENTS_SKIPPED,
                "Events were skipped, since this client reads them more slowly than they come; "
                "what follows is the newest state",
            )
        )
    ),
)


class Streams:
    """All open streams: their bounds, and their end. Build it inside a running event loop."""

    def __init__(
        self,
        *,
        metrics: HttpMetrics,
        most: int = MAX_WATCHERS,
        most_of_account: int = MAX_WATCHERS_OF_ACCOUNT,
        every_s: float = EVERY_S,
        silent_s: float = SILENT_S,
    ) -> None:
        self.metrics = metrics
        self.stopped = False
        """Whether `stop` was called."""
        self._most = most
        self._shares: Shares[str] = Shares(most, most_of_account)
        self._every_s = every_s
        self._silent_s = silent_s
        self._watches: dict[Feed, Watch] = {}

    @property
    def taken(self) -> int:
        """Places that are taken."""
        return len(self._shares)

    @contextmanager
    def enter(self, account: str) -> Iterator[None]:
        """Take a place for one stream.

        Raises:
            OverloadedError: all places are taken.
            TooManyWatchersError: the account has its share of them.
            StoppingError: `stop` was called.
        """
        if self.stopped:
            raise StoppingError("the coordinator is stopping")
        if len(self._shares) >= self._most:
            raise OverloadedError
        if not self._shares.take(account):
            raise TooManyWatchersError
        try:
            yield
        finally:
            self._shares.release(account)

    @contextmanager
    def reader(self, feed: Feed) -> Iterator[Reader]:
        """A new reader of the feed, which `stop` ends."""
        watch = self._watches.get(feed)
        if watch is None:
            watch = Watch(feed, every_s=self._every_s, silent_s=self._silent_s)
            self._watches[feed] = watch
        try:
            with watch.reader() as reader:
                if self.stopped:
                    reader.end()
                yield reader
        finally:
            if not watch.readers and self._watches.get(feed) is watch:
                del self._watches[feed]

    def stop(self) -> None:
        """End all streams, and refuse new ones: the coordinator is about to stop. Clients follow
        their measurement at another coordinator, or at the next one here."""
        self.stopped = True
        for watch in tuple(self._watches.values()):
            watch.stop()


class _Stream(StreamingResponse, ABC):
    """Writes what a feed has, until the feed has ended, the stream is stopped, or the client has
    gone."""

    name = ""
    first = b""
    """What the stream begins with."""
    comment = b""
    """Sent after `silent_s` without an event, if the format has comments."""
    cut = False
    """Whether a stream that ends before its measurement is an incomplete answer: the client has no
    other way to tell."""

    def __init__(
        self,
        feed: Feed,
        *,
        streams: Streams,
        until_sent: ExitStack,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`until_sent` is closed at the end of the stream; it has the place (`Streams.enter`)."""
        # A proxy must not keep events back; X-Accel-Buffering is nginx's header.
        fixed = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__((), headers={**fixed, **(headers or {})})
        self._feed = feed
        self._position = 0
        self._streams = streams
        self._until_sent = until_sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        with self._until_sent:
            head = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **head})
            if scope["method"] == "HEAD" or self.status_code != 200:
                await send({"type": "http.response.body"})
                return
            with self._counted(), self._streams.reader(self._feed) as reader:
                watch = asyncio.create_task(_watch(receive, reader), name="client-watch")
                try:
                    whole = await self._follow(reader, send)
                    if whole or not self.cut:
                        await _write(send, b"", more=False)
                    elif close := scope["state"].get("close"):
                        close()
                        await asyncio.wait([watch])
                finally:
                    watch.cancel()
                    await asyncio.wait([watch])

    @abstractmethod
    def _read(self) -> Piece:
        """What follows the position."""

    async def _follow(self, reader: Reader, send: Send) -> bool:
        """Write until the end; returns whether it was the measurement's."""
        data, told = self.first, False
        while not reader.ended:
            ended = self._feed.ended
            piece = self._read()
            self._position = piece.position
            if not reader.missed:
                told = False
            elif piece.skipped and not told:
                told = True
                self._streams.metrics.watchers_skipped.inc()
                data = _SKIPPED
            if text := data + piece.data or self.comment:
                await _write(send, text)
            data = b""
            if piece.more:
                continue
            if ended:
                return not self._feed.closed
            await reader.wait()
        return False

    @contextmanager
    def _counted(self) -> Iterator[None]:
        watchers = self._streams.metrics.watchers.labels(self.name)
        watchers.inc()
        try:
            yield
        finally:
            watchers.dec()


class EventStream(_Stream):
    """The events of a measurement (text/event-stream). It begins after the event that the client
    has had last; 204 if that is the measurement's last, since clients connect again on any other
    answer (WHATWG HTML, section 9.2.2)."""

    media_type = "text/event-stream"
    name = "events"
    # Neither ends with an empty line: some clients take it for the end of an event without data.
    first = b"retry: %d\n" % RETRY_MS
    comment = b":\n"

    def __init__(
        self,
        feed: Feed,
        *,
        streams: Streams,
        until_sent: ExitStack,
        last_event_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`last_event_id`: see `position_of`."""
        super().__init__(feed, streams=streams, until_sent=until_sent, headers=headers)
        self._position = position_of(last_event_id)
        if feed.ended and not feed.closed and self._position == feed.position:
            self.status_code = 204

    def _read(self) -> Piece:
        return self._feed.after(self._position)


def position_of(last_event_id: str) -> int:
    """The position of a client that resumes, by its header Last-Event-ID; 0 if that is not a
    number."""
    return int(last_event_id) if re.fullmatch(r"[0-9]{1,15}", last_event_id, re.ASCII) else 0


class RowStream(_Stream):
    """The finished rows of a measurement (application/x-ndjson), in the order in which they
    finish."""

    media_type = "application/x-ndjson"
    name = "rows"
    cut = True

    def _read(self) -> Piece:
        return self._feed.rows_after(self._position)


def stream_of(
    feed: Feed,
    form: Live,
    *,
    streams: Streams,
    until_sent: ExitStack,
    last_event_id: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response that follows the feed in this form."""
    if form is Live.ROWS:
        return RowStream(feed, streams=streams, until_sent=until_sent, headers=headers)
    return EventStream(
        feed,
        streams=streams,
        until_sent=until_sent,
        last_event_id=last_event_id,
        headers=headers,
    )


async def _watch(receive: Receive, reader: Reader) -> None:
    """End the reader when the client has disconnected. The body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()


async def _write(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
