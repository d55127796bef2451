"""The outermost form of every blob: compressed if that helps, and with a checksum.

A byte says how the content is compressed; four bytes are the CRC-32 of what follows. Damage is
found before anything is decompressed. Short contents are compressed with a dictionary of what is
usual in one row, which saves a fifth; `scripts/dictionary.py` made it, and it never changes.
"""

import functools
import threading
import zlib
from pathlib import Path

import zstandard

from colotrace_coordinator.errors import CoordinatorError

MAX_CONTENT = 64 << 20
"""Greatest size of a content, in bytes. A chunk of 64 multipath rows has at most 12 MB."""
_PLAIN, _ZSTD, _ZSTD_WITH_DICTIONARY = b"\x00", b"\x01", b"\x02"
_HEAD = 5
_SHORT = 120
"""Contents below this many bytes hardly shrink."""
_LONG = 8_192
"""From this many bytes on, the dictionary is of no use."""
_DICTIONARY = Path(__file__).parent / "dictionary-1.zstd"
_LEVEL = 3


class DamageError(CoordinatorError):
    """A blob is not as it was written."""


def sealed(content: bytes) -> bytes:
    """The blob of the content."""
    form = _PLAIN
    if len(content) >= _LONG:
        form, content = _ZSTD, _tools().plain.compress(content)
    elif len(content) >= _SHORT:
        form, content = _ZSTD_WITH_DICTIONARY, _tools().short.compress(content)
    return form + zlib.crc32(content).to_bytes(4, "little") + content


def opened(blob: object) -> bytes:
    """The content of the blob.

    Raises:
        DamageError: the blob is damaged, or its content is longer than `MAX_CONTENT`.
    """
    if not isinstance(blob, bytes):  # a column of SQLite may have any type
        raise DamageError("it is no blob")
    form, told, stored = blob[:1], blob[1:_HEAD], blob[_HEAD:]
    if zlib.crc32(stored).to_bytes(4, "little") != told:
        raise DamageError("its checksum is wrong")
    if form == _PLAIN:
        return stored
    if form not in (_ZSTD, _ZSTD_WITH_DICTIONARY):
        raise DamageError("its form is not known")
    try:
        size = zstandard.frame_content_size(stored)
        if not 0 <= size <= MAX_CONTENT:
            raise DamageError("its content is too long")
        tools = _tools()
        return (tools.opens if form == _ZSTD else tools.opens_short).decompress(stored)
    except zstandard.ZstdError as error:
        raise DamageError(str(error)) from None


class _Tools(threading.local):
    """Those of one thread, which may not be shared. To make them takes longer than to use them."""

    def __init__(self) -> None:
        dictionary = _dictionary()
        self.plain = zstandard.ZstdCompressor(level=_LEVEL)
        self.short = zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary)
        self.opens = zstandard.ZstdDecompressor()
        self.opens_short = zstandard.ZstdDecompressor(dict_data=dictionary)


@functools.cache
def _tools() -> _Tools:
    return _Tools()


@functools.cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    dictionary = zstandard.ZstdCompressionDict(_DICTIONARY.read_bytes())
    dictionary.precompute_compress(level=_LEVEL)
    return dictionary
