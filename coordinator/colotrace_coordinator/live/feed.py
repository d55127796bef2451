"""The events of one measurement, for everybody who follows it. Sans-IO.

A feed is a log that keeps the newest state only. Each `put` appends an event with the next sequence
number, and removes what it replaces: a row removes the row's hops, a hop removes the same hop of an
earlier event, fresh hops remove all earlier hops of their row. Every event that is left is complete
in itself. Therefore whoever applies the events after a position, in order, has the state of the
feed: a late joiner reads from position 0, a client that resumes reads from its last event, and a
slow reader finds fewer events instead of a queue. Memory is bounded by the size of the final answer
and its messages.

An event is written as a server-sent event once. The events after a position are joined once for all
readers at that position.
"""

import enum
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

import msgspec

PIECE_BYTES = 32_768
"""The most bytes of a piece, unless one event is larger."""
MAX_MESSAGES = 10_000
"""Messages that a feed keeps. Later ones are not kept."""
RECORDED = 10**9
"""The position at which the feed of a recorded measurement begins. Its events have another order
than those of the running measurement had, so their numbers must not be mistaken for these."""
ENDED = 2 * 10**9
"""The sequence number of every `end`: a client that has had it has all, whatever feed it asks."""

_PIECES = 16
"""Joined pieces that are remembered, for readers at different positions."""
_DEAD = 64
"""Events that were replaced and are still in the list; then it is made anew."""


class Kind(enum.StrEnum):
    """An event's name."""

    START = "start"
    HOPS = "hops"
    ROW = "row"
    MESSAGE = "message"
    END = "end"


class Event(NamedTuple):
    """An event; `data` is a line of JSON. `row` is the number of the row that it is about."""

    sequence: int
    kind: Kind
    data: bytes
    row: int | None = None


class Piece(NamedTuple):
    """What follows a position, up to `position`. `skipped`: some of what followed has been replaced
    by newer events. `more`: there was more than the piece could take."""

    data: bytes
    position: int
    skipped: bool = False
    more: bool = False


class Feed:
    """The events of one measurement; see the module. Sequence numbers begin after `begin`."""

    def __init__(self, *, begin: int = 0) -> None:
        self.position = begin
        """The sequence number of the last event."""
        self._begin = self._last = begin
        self.ended = False
        """Whether the event `end` was put, or the feed was closed. No event follows."""
        self.closed = False
        """Whether it ended by `close`."""
        self._entries: list[_Entry] = []
        self._dead = 0
        # The highest sequence number of an event of which something was replaced.
        self._replaced = begin
        self._start: _Entry | None = None
        self._rows: dict[int, _Row] = {}
        self._finished: list[int] = []
        self._messages = 0
        self._pieces: dict[tuple[int, int], Piece] = {}
        self._listeners: dict[Callable[[], None], None] = {}

    def put(
        self, kind: Kind, data: bytes, *, row: int | None = None, sequence: int | None = None
    ) -> None:
        """Append an event. `data` is a line of JSON; `row` is needed for hops and rows.

        An event is ignored after `end`, and hops also after their row. `sequence` is the number
        that the event has in the feed of which this one is a copy; a number that is not new is
        ignored.

        Raises:
            ValueError: the data has a line break, or is not of this kind, or `row` is missing.
        """
        if b"\n" in data or b"\r" in data:
            raise ValueError("the data of an event is one line")
        if kind is Kind.END:
            sequence = ENDED
        elif sequence is None:
            sequence = self.position + 1
        if self.ended or sequence <= self.position:
            return
        entry = _Entry(sequence, kind, data, row)
        match kind:
            case Kind.START:
                self._replace(self._start)
                self._start = entry
            case Kind.HOPS | Kind.ROW:
                if row is None:
                    raise ValueError("hops and rows have a row")
                if not self._put_row(entry, row):
                    return
            case Kind.MESSAGE:
                if self._messages >= MAX_MESSAGES:
                    return
                self._messages += 1
            case Kind.END:
                self.ended = True
        self.position = sequence
        if kind is not Kind.END:
            self._last = sequence
        self._entries.append(entry)
        if self._dead > max(_DEAD, len(self._entries) // 2):
            self._entries = [entry for entry in self._entries if not entry.dead]
            self._dead = 0
        self._pieces.clear()
        self._tell()

    def close(self) -> None:
        """End without the event `end`: what else happened is not known here."""
        if not self.ended:
            self.ended = self.closed = True
            self._tell()

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def after(self, position: int, *, most_bytes: int = PIECE_BYTES) -> Piece:
        """The events after a position as server-sent events (WHATWG HTML, section 9.2): a piece of
        at most `most_bytes`, or one event. Its data is empty if none follow.

        A position beyond the last event is another feed's: all events follow it.
        """
        position = self._own(position)
        key = position, most_bytes
        piece = self._pieces.get(key)
        if piece is None:
            if len(self._pieces) >= _PIECES:
                self._pieces.clear()
            piece = self._pieces[key] = self._piece(position, most_bytes)
        return piece

    def events(self, position: int, *, most: int) -> list[Event]:
        """At most `most` events after a position: to replay into a copy with `put`."""
        found: list[Event] = []
        for entry in self._following(self._own(position)):
            if len(found) >= most:
                break
            found.append(Event(entry.sequence, entry.kind, entry.data, entry.row))
        return found

    def rows_after(self, position: int, *, most_bytes: int = PIECE_BYTES) -> Piece:
        """The rows that finished after the first `position` rows, in this order: lines of JSON. The
        piece's position counts rows."""
        lines: list[bytes] = []
        size, more = 0, False
        for place in range(position, len(self._finished)):
            line = self._rows[self._finished[place]].done
            size += len(line) + 1
            if more := bool(lines) and size > most_bytes:
                break
            lines += (line, b"\n")
        return Piece(b"".join(lines), position + len(lines) // 2, more=more)

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call the listener after each event, and at the end. Returns what unsubscribes it."""
        self._listeners[listener] = None

        def end() -> None:
            self._listeners.pop(listener, None)

        return end

    def _piece(self, position: int, most_bytes: int) -> Piece:
        texts: list[bytes] = []
        size, last, more = 0, position, False
        for entry in self._following(position):
            text = entry.text
            size += len(text)
            if more := bool(texts) and size > most_bytes:
                break
            texts.append(text)
            last = entry.sequence
        skipped = self._begin < position < self._replaced
        return Piece(b"".join(texts), last, skipped=skipped, more=more)

    def _own(self, position: int) -> int:
        """The position; 0 if it is beyond the last event, or between the last two at the end."""
        return position if position <= self._last or position == self.position else 0

    def _following(self, position: int) -> "Iterator[_Entry]":
        first = bisect_right(self._entries, position, key=lambda entry: entry.sequence)
        for place in range(first, len(self._entries)):
            if not (entry := self._entries[place]).dead:
                yield entry

    def _put_row(self, entry: "_Entry", number: int) -> bool:
        """Enter hops or a finished row; False if the hops come too late."""
        row = self._rows.get(number)
        if entry.kind is Kind.ROW:
            if row is None:
                row = self._rows[number] = _Row()
            if not row.done:
                self._finished.append(number)
            row.done = entry.data
            self._replace(*row.entries)
            row.hops.clear()
            row.entries = {entry: None}
            return True
        if row is not None and row.done:
            return False
        ttls = entry.read_hops()
        if row is None:
            row = self._rows[number] = _Row()
        if entry.fresh:
            self._replace(*row.entries)
            row.hops.clear()
            row.entries.clear()
        for ttl in ttls:
            earlier = row.hops.get(ttl)
            if earlier is not None:
                earlier.remove(ttl)
                self._replaced = max(self._replaced, earlier.sequence)
            row.hops[ttl] = entry
        for earlier in [each for each in row.entries if each.empty]:
            self._replace(earlier)
            del row.entries[earlier]
        row.entries[entry] = None
        return True

    def _replace(self, *entries: "_Entry | None") -> None:
        for entry in entries:
            if entry is not None:
                entry.clear()
                self._dead += 1
                self._replaced = max(self._replaced, entry.sequence)


class _Hop(msgspec.Struct):
    packets_ttl: Annotated[int, msgspec.Meta(ge=0, le=255)]


_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_read_hops = msgspec.json.Decoder(list[msgspec.Raw])
_read_ttls = msgspec.json.Decoder(list[_Hop])
_encode = msgspec.json.Encoder().encode


class _Entry:
    """An event in the log. Hops that newer events replace are removed from it."""

    __slots__ = ("_data", "_fields", "_hops", "_text", "dead", "fresh", "kind", "row", "sequence")

    def __init__(self, sequence: int, kind: Kind, data: bytes, row: int | None) -> None:
        self.sequence = sequence
        self.kind = kind
        self.row = row
        self.dead = False
        self.fresh = False
        """It makes the earlier hops of its row void."""
        self._data = data
        self._text = b""
        self._fields: dict[str, bytes | msgspec.Raw] = {}
        self._hops: dict[int, bytes | msgspec.Raw] = {}

    def clear(self) -> None:
        """Replace all of it. Its memory is freed here: that of thousands of entries at once, when
        the log removes them, takes milliseconds."""
        self.dead = True
        self._data = self._text = b""
        self._fields, self._hops = {}, {}

    @property
    def empty(self) -> bool:
        """Whether it tells nothing that lasts longer than until the row's next event."""
        return not self._hops and not self.fresh

    def read_hops(self) -> list[int]:
        """The TTLs of the event's hops.

        Raises:
            ValueError: the data is not that of hops.
        """
        self._fields = {**_read_fields.decode(self._data)}
        hops = self._fields.get("hops", b"")
        ttls = [hop.packets_ttl for hop in _read_ttls.decode(hops)]
        self._hops = dict(zip(ttls, _read_hops.decode(hops), strict=True))
        self.fresh = bytes(self._fields.get("fresh", b"")) == b"true"
        return list(self._hops)

    def remove(self, ttl: int) -> None:
        """Remove a hop."""
        if self._data:
            # `Raw` keeps all of the data.
            self._fields = {name: bytes(value) for name, value in self._fields.items()}
            self._hops = {ttl: bytes(hop) for ttl, hop in self._hops.items()}
            self._fields["hops"] = self._data = b""
        del self._hops[ttl]
        self._text = b""

    @property
    def data(self) -> bytes:
        """The data of the event, a line of JSON."""
        if self._data:
            return self._data
        fields = {**self._fields, "hops": b"[%s]" % b",".join(self._hops.values())}
        return b"{%s}" % b",".join(b"%s:%s" % (_encode(n), fields[n]) for n in fields)

    @property
    def text(self) -> bytes:
        """The event as a server-sent event."""
        if not self._text:
            self._text = b"id: %d\nevent: %s\ndata: %s\n\n" % (
                self.sequence,
                self.kind.encode(),
                self.data,
            )
        return self._text


class _Row:
    """What the log has of a row: its entries, those of each hop, and the finished row's data."""

    __slots__ = ("done", "entries", "hops")

    def __init__(self) -> None:
        self.done = b""
        self.entries: dict[_Entry, None] = {}
        self.hops: dict[int, _Entry] = {}
