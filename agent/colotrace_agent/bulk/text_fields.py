"""Formats text in arrays of bytes: templates with fields of fixed width, many at a time.

Unused bytes of a field are zeros.
"""

import functools
import socket
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from colotrace_proto.messages import Family

from .arrays import Bytes, Numbers

NUMBER, LONG_NUMBER, TIME, REAL = 4, 8, 16, 24
"""Widths of numbers below 1,000, numbers below 10,000,000, times, and real numbers, in bytes."""
LEAST_NS, MOST_NS = 100, 10**12
"""Range of `times` in nanoseconds; the upper bound is excluded."""
ADDRESS = {Family.IPV4: 16, Family.IPV6: 40}
"""Width of an address, in bytes."""

_NS_PER_MS = 1_000_000


class Field(NamedTuple):
    """A field of a template."""

    name: str
    width: int


class Form:
    """A text template; a field may occur several times."""

    def __init__(self, pieces: Sequence[str | Field]) -> None:
        self._places: dict[str, list[int]] = {}
        text = bytearray()
        for piece in pieces:
            if isinstance(piece, str):
                text += piece.encode()
                continue
            self._places.setdefault(piece.name, []).append(len(text))
            text += bytes(piece.width)
        self.text: Bytes = np.frombuffer(bytes(text), np.uint8)

    def start_of(self, name: str) -> int:
        """Offset of the field's first occurrence."""
        return self._places[name][0]

    def fill(self, sheet: Bytes, fields: Mapping[str, Bytes]) -> None:
        """Writes the fields, rows of bytes, into copies of the text: the last axis of `sheet`."""
        for name, written in fields.items():
            for at in self._places[name]:
                sheet[..., at : at + written.shape[-1]] = written


def _table(texts: Sequence[str]) -> npt.NDArray[np.uint32]:
    return np.array([text.encode() for text in texts], "S4").view(np.uint32)


_PLAIN = [str(number) for number in range(1_000)]
_PADDED = [f"{number:03}" for number in range(1_000)]
_TRIMMED = [padded.rstrip("0") for padded in _PADDED]
_NUMBERS = _table(_PLAIN)
_THOUSANDS = _table(["", *_PLAIN[1:]])
_ONES = _table([*_PLAIN, *_PADDED])
_TENTHS = _table([*(trimmed or "0" for trimmed in _TRIMMED), *_PADDED])
_LAST = _table(_TRIMMED)
_POINTED = _table([f"{text}." for text in (*_PLAIN, *_PADDED)])
_OCTETS = _table([*(f"{octet}." for octet in range(256)), *map(str, range(256))])
_LAST_OCTET = np.array([0, 0, 0, 256])


def numbers(given: npt.NDArray[np.integer]) -> Bytes:
    """Numbers from 0 to 999."""
    return _bytes(_NUMBERS[given][..., None])


def long_numbers(given: Numbers) -> Bytes:
    """Numbers from 0 to 999,999."""
    thousands, ones = np.divmod(given, 1_000)
    return _bytes(np.stack((_THOUSANDS[thousands], _ONES[ones + 1_000 * (thousands > 0)]), -1))


def times(given_ns: Numbers) -> Bytes:
    """Nanoseconds as milliseconds, formatted like `repr`; from `LEAST_NS` to below `MOST_NS`."""
    whole, rest = np.divmod(given_ns, _NS_PER_MS)
    thousands, ones = np.divmod(whole, 1_000)
    tenths, last = np.divmod(rest, 1_000)
    text = np.empty((*given_ns.shape, 4), np.uint32)
    text[..., 0] = _THOUSANDS[thousands]
    text[..., 1] = _POINTED[ones + 1_000 * (thousands > 0)]
    text[..., 2] = _TENTHS[tenths + 1_000 * (last > 0)]
    text[..., 3] = _LAST[last]
    return _bytes(text)


def reals(given: Sequence[float]) -> Bytes:
    """Numbers, formatted like `repr`."""
    return texts([repr(number).encode() for number in given], width=REAL)


def texts(given: Sequence[bytes], *, width: int = 0) -> Bytes:
    """Texts, as wide as the longest unless a width is given."""
    wide = np.array(given, f"S{width}" if width else np.bytes_)
    return _bytes(wide[:, None])


def addresses(packed: Bytes) -> Bytes:
    """Formats rows of packed addresses of one family."""
    if packed.shape[-1] == 4:
        return _bytes(_OCTETS[packed + _LAST_OCTET])
    joined = packed.tobytes()
    words = [_ipv6(joined[at : at + 16]) for at in range(0, len(joined), 16)]
    return texts(words, width=ADDRESS[Family.IPV6]).reshape(*packed.shape[:-1], -1)


@functools.lru_cache(maxsize=65_536)
def _ipv6(address: bytes) -> bytes:
    return socket.inet_ntop(socket.AF_INET6, address).encode()


def _bytes(words: npt.NDArray[np.generic]) -> Bytes:
    return words.view(np.uint8)
