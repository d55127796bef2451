"""Server-sent events, parsed from chunks of bytes.

Source: the HTML standard, section 9.2.6. An event without a name is a `message`. `retry` is
ignored, since the caller decides when to connect again.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from colotrace_cli.errors import RequestError

MOST_BYTES = 8 * 2**20
"""Greatest size of one event: more than a row with 64 hops, or a start with all colos, takes."""
_TOO_LARGE = "the coordinator sent an event that is too large"
_END = re.compile(rb"[\r\n]")
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event. `id` is the last id that the stream gave, with this event or before."""

    kind: str
    data: bytes
    id: str


class Parser:
    """Bytes in, events out. An event that the end of the stream cuts short is dropped."""

    def __init__(self) -> None:
        self.last_id = ""
        self.restart()

    def restart(self) -> None:
        """Begin a new stream; the last id stays."""
        self._rest = bytearray()
        self._searched = 0
        self._began = False
        self._after_cr = False
        self._kind = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes.

        Raises:
            RequestError: an event is too large.
        """
        self._rest += chunk
        while (line := self._line()) is not None:
            event = self._take(line)
            if event is not None:
                yield event
        if len(self._rest) + self._size > MOST_BYTES:
            raise RequestError(_TOO_LARGE)

    def _line(self) -> bytes | None:
        """The next whole line; it ends in LF, CR, or both."""
        rest = self._rest
        if self._after_cr and rest:
            self._after_cr = False
            if rest[:1] == b"\n":
                del rest[:1]
        found = _END.search(rest, self._searched)
        if found is None:
            self._searched = len(rest)
            return None
        end = found.start()
        line = bytes(rest[:end])
        self._after_cr = rest[end : end + 1] == b"\r"
        del rest[: end + 1]
        self._searched = 0
        if not self._began:
            self._began = True
            line = line.removeprefix(_BOM)
        return line

    def _take(self, line: bytes) -> Event | None:
        if not line:
            kind, data = self._kind, self._data
            self._kind, self._data, self._size = "", [], 0
            return Event(kind or "message", b"\n".join(data), self.last_id) if data else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        self._size += len(line)
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self.last_id = value.decode(errors="replace")
        if self._size > MOST_BYTES:
            raise RequestError(_TOO_LARGE)
        return None
