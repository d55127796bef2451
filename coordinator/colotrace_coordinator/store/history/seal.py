"""The outermost form of every blob: compressed if that helps, and with a checksum.

A byte says whether zstd compressed the content; four bytes are the CRC-32 of what follows. Damage
is found before anything is decompressed.
"""

import zlib

import zstandard

from colotrace_coordinator.errors import CoordinatorError

MAX_CONTENT = 64 << 20
"""Greatest size of a content, in bytes. A chunk of 64 multipath rows has at most 12 MB."""
_PLAIN, _ZSTD = b"\x00", b"\x01"
_HEAD = 5
_SHORT = 120
"""Contents below this many bytes hardly shrink."""
_LEVEL = 3

_compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
_decompressor = zstandard.ZstdDecompressor()


class DamageError(CoordinatorError):
    """A blob is not as it was written."""


def sealed(content: bytes) -> bytes:
    """The blob of the content. Not for several threads at once."""
    form = _PLAIN
    if len(content) >= _SHORT:
        form, content = _ZSTD, _compressor.compress(content)
    return form + zlib.crc32(content).to_bytes(4, "little") + content


def opened(blob: bytes) -> bytes:
    """The content of the blob. Not for several threads at once.

    Raises:
        DamageError: the blob is damaged, or its content is longer than `MAX_CONTENT`.
    """
    form, told, stored = blob[:1], blob[1:_HEAD], blob[_HEAD:]
    if zlib.crc32(stored).to_bytes(4, "little") != told:
        raise DamageError("its checksum is wrong")
    if form == _PLAIN:
        return stored
    if form != _ZSTD:
        raise DamageError("its form is not known")
    try:
        size = zstandard.frame_content_size(stored)
        if not 0 <= size <= MAX_CONTENT:
            raise DamageError("its content is too long")
        return _decompressor.decompress(stored)
    except zstandard.ZstdError as error:
        raise DamageError(str(error)) from None
