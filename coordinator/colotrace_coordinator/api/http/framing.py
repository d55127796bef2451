"""Finds where a request's head and body begin and end, strictly (RFC 9112). Sans-IO.

uvicorn (with llhttp) parses the same bytes afterwards. Bytes that two parsers could read
differently are refused here first, because they allow request smuggling: a bare LF or CR, a folded
header, a space before a header's colon, and Content-Length twice or together with
Transfer-Encoding.
"""

import re
from dataclasses import dataclass

from colotrace_coordinator.errors import CoordinatorError

MAX_HEAD = 32_768
MAX_HEADERS = 100
MAX_SIZE_LINE = 128
"""Of a chunk's size with its extensions, in bytes."""
MAX_TRAILER = 4_096

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_HEAD = re.compile(
    rb"(" + _TOKEN + rb"{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])\r\n"
    rb"((?:" + _TOKEN + rb"+:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
_FRAMING = re.compile(
    rb"^(content-length|expect|host|transfer-encoding|upgrade):([^\r\n]*)\r$",
    re.IGNORECASE | re.MULTILINE,
)
_UPGRADE = re.compile(rb"^upgrade:.*\n", re.IGNORECASE | re.MULTILINE)
_BARE_LF = re.compile(rb"(?<!\r)\n")
_ABSOLUTE = re.compile(rb"https?://[^/?#]+([/?].*)?", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER_LINE = re.compile(_TOKEN + rb"+:[\t\x20-\x7e\x80-\xff]*\r\n")
_METHODS = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"TRACE"})


class FramingError(CoordinatorError):
    """The bytes are not an HTTP/1 request, or are ambiguous."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head.

    `data` is passed on to uvicorn. It is the received head with three changes: an absolute-form
    target is in origin-form, an unknown method is TRACE (the answer is 405 as well), and Upgrade is
    removed.
    """

    data: bytes
    length: int | None
    """The length of the body in bytes; None if it is chunked."""


def head_end(data: bytes | bytearray, *, searched: int = 0) -> int:
    """The offset of the body; 0 if the head is incomplete.

    `searched` is the length that an earlier call has searched, so that a head that arrives byte by
    byte is searched once.

    Raises:
        FramingError: the data cannot become a head.
    """
    end = data.find(b"\r\n\r\n", max(searched - 3, 0)) + 4
    if end > 3:
        if end > MAX_HEAD:
            raise FramingError("the head is too large")
        return end
    if len(data) >= MAX_HEAD:
        raise FramingError("the head is too large")
    if _BARE_LF.search(data, max(searched - 1, 0)):
        raise FramingError("a line ends without CR")
    return 0


def read_head(data: bytes) -> Head:
    """Parse a head that `head_end` found complete.

    Raises:
        FramingError: it is not a head, or it is ambiguous.
    """
    found = _HEAD.fullmatch(data)
    if found is None or data.count(b"\n") > MAX_HEADERS + 2:
        raise FramingError("not an HTTP/1 head")
    method, target, minor, fields = found.groups()
    values: dict[bytes, bytes] = {}
    for name, value in _FRAMING.findall(fields):
        name, value = name.lower(), value.strip(b" \t")
        if name in values and name in (b"content-length", b"host", b"transfer-encoding"):
            raise FramingError(f"{name.decode()} stands there twice")
        values[name] = value
    if minor == b"1" and b"host" not in values:
        raise FramingError("Host is missing")
    return Head(
        _for_server(data, method=method, target=target, fields=fields, minor=minor, values=values),
        _length(values, minor=minor),
    )


def _length(values: dict[bytes, bytes], *, minor: bytes) -> int | None:
    coding, length = values.get(b"transfer-encoding"), values.get(b"content-length")
    if coding is not None:
        if length is not None or minor == b"0" or coding.lower() != b"chunked":
            raise FramingError("a Transfer-Encoding that cannot be used")
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise FramingError("Content-Length is no number")
    return int(length)


def _for_server(
    data: bytes,
    *,
    method: bytes,
    target: bytes,
    fields: bytes,
    minor: bytes,
    values: dict[bytes, bytes],
) -> bytes:
    plain = method in _METHODS and b"upgrade" not in values
    if plain and target.startswith(b"/"):
        return data
    if not target.startswith(b"/") and target != b"*":
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise FramingError("the target is neither a path nor a URL")
        rest = absolute[1] or b"/"
        target = rest if rest.startswith(b"/") else b"/" + rest
    if method not in _METHODS:
        method = b"TRACE"
    fields = _UPGRADE.sub(b"", fields)
    return b"%s %s HTTP/1.%s\r\n%s\r\n" % (method, target, minor, fields)


class Body:
    """Finds the end of one request's body; `done` from then on, `seen` its bytes so far."""

    def __init__(self, length: int | None) -> None:
        self.done = length == 0
        self.seen = 0
        self._chunked = length is None
        self.left = length or 0
        """The bytes that are announced and have not come; of a chunked body, of its chunk."""
        self._step = self._size if length is None else self._plain
        self._trailer = 0

    def take(self, data: bytes | bytearray) -> int:
        """How many of the bytes are this body's and can be passed on; what follows waits for more
        to come, or is the next request's.

        Raises:
            FramingError: they are no chunked body.
        """
        at = 0
        while at < len(data) and not self.done:
            taken = self._step(data, at)
            if not taken:
                break
            at += taken
        self.seen += at
        return at

    def _plain(self, data: bytes | bytearray, at: int) -> int:
        taken = min(self.left, len(data) - at)
        self.left -= taken
        if not self.left:
            if self._chunked:
                self._step = self._chunk_end
            else:
                self.done = True
        return taken

    def _size(self, data: bytes | bytearray, at: int) -> int:
        line = _SIZE_LINE.match(data, at, at + MAX_SIZE_LINE)
        if line is None:
            return self._unfinished(data, at, most=MAX_SIZE_LINE)
        self.left = int(line[1], 16)
        self._step = self._plain if self.left else self._last
        return line.end() - at

    def _chunk_end(self, data: bytes | bytearray, at: int) -> int:
        if data.startswith(b"\r\n", at):
            self._step = self._size
            return 2
        return self._unfinished(data, at, most=2)

    def _last(self, data: bytes | bytearray, at: int) -> int:
        """An empty line, or a field of the trailer."""
        if data.startswith(b"\r\n", at):
            self.done = True
            return 2
        most = MAX_TRAILER - self._trailer
        line = _TRAILER_LINE.match(data, at, at + most)
        if line is None:
            return self._unfinished(data, at, most=most)
        self._trailer += line.end() - at
        return line.end() - at

    def _unfinished(self, data: bytes | bytearray, at: int, *, most: int) -> int:
        """0 if the incomplete line can still become valid."""
        line = data[at : at + most]
        if len(line) >= most or b"\n" in line or (b"\r" in line and not line.endswith(b"\r")):
            raise FramingError("not a chunked body")
        if self._step == self._chunk_end and line != b"\r":
            raise FramingError("not a chunked body")
        return 0
