"""What a measurement has beside its rows, as bytes: its head for lists, and its end.

The head is the summary without the id and the account, which have columns of their own. The body
has the names and ASNs, and the rows if they are few. Chunks of other measurements are apart.
"""

import socket
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import msgspec
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Options, Status, Summary
from colotrace_proto.messages import ColoName, Family, PacketType
from colotrace_proto.tally import Known

from .columns import Column, packed, unpacked
from .packing import Chunk
from .seal import DamageError, opened, sealed

KNOWN_AT_ONCE = 256
"""Addresses whose names are packed in one step."""

_T = TypeVar("_T")
_Told = tuple[PacketType, int, int, int, int, int, bool, Family | None]


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """`coordinator` is in hexadecimal digits if `coordinator_text` is empty."""

    caller: str
    coordinator: bytes
    coordinator_text: str
    status: Status
    began_ms: int
    took_ms: int | None
    targets: tuple[str, ...]
    colos: tuple[str, ...]
    options: _Told
    counts: tuple[int, int, int]


class KnownPart(msgspec.Struct, array_like=True, frozen=True):
    """Names and ASNs of some addresses, each "" or 0 if it is not known. `asn` counts in `asns`
    from 1. `texts` are keys that are no address in its usual form."""

    addresses: tuple[bytes, ...]
    names: tuple[str, ...]
    asns: tuple[str, ...]
    asn: Column
    texts: tuple[tuple[str, str | None, str | None], ...] = ()


class Body(msgspec.Struct, array_like=True, frozen=True):
    """What is stored when a measurement has ended."""

    known: tuple[KnownPart, ...] = ()
    chunk: Chunk | None = None


_ENCODER = msgspec.msgpack.Encoder()
_HEAD = msgspec.msgpack.Decoder(_Head)
_BODY = msgspec.msgpack.Decoder(Body)
_CHUNK = msgspec.msgpack.Decoder(Chunk)


def head_of(summary: Summary) -> bytes:
    """The head of a measurement."""
    ended = summary.ended_ms
    return sealed(
        _ENCODER.encode(
            _Head(
                summary.caller,
                *_short(summary.coordinator),
                summary.status,
                summary.began_ms,
                None if ended is None else ended - summary.began_ms,
                summary.targets,
                summary.colos,
                summary.options,
                (summary.finished, summary.failed, summary.unreached),
            )
        )
    )


def summary_of(measurement_id: str, account_id: str, head: bytes) -> Summary:
    """The summary of a stored head.

    Raises:
        DamageError: the head is damaged.
    """
    told: _Head = _decoded(_HEAD, head)
    finished, failed, unreached = told.counts
    return Summary(
        id=measurement_id,
        account_id=account_id,
        caller=told.caller,
        coordinator=told.coordinator_text or told.coordinator.hex(),
        status=told.status,
        began_ms=told.began_ms,
        ended_ms=None if told.took_ms is None else told.began_ms + told.took_ms,
        targets=told.targets,
        colos=tuple(map(ColoName, told.colos)),
        options=Options(*told.options),
        finished=finished,
        failed=failed,
        unreached=unreached,
    )


def blob_of(part: Body | Chunk) -> bytes:
    """The bytes of a body or a chunk."""
    return sealed(_ENCODER.encode(part))


def body_of(blob: bytes | None) -> Body:
    """The stored body; an empty one if there is none yet.

    Raises:
        DamageError: it is damaged.
    """
    return Body() if blob is None else _decoded(_BODY, blob)


def chunk_of(blob: bytes) -> Chunk:
    """The stored chunk.

    Raises:
        DamageError: it is damaged.
    """
    return _decoded(_CHUNK, blob)


def known_parts(known: Known, first: Sequence[bytes] = ()) -> Iterator[KnownPart]:
    """The names and ASNs in parts; to make each takes less than a millisecond. `first` are
    addresses that come first if they have some: next to the same ones of a chunk, they compress to
    nothing."""
    keys: Iterable[str] = known.names.keys() | known.asns.keys()
    if first:
        texts = dict.fromkeys(map(address_text, first))
        texts.update(dict.fromkeys(keys))
        keys = [text for text in texts if text in known.names or text in known.asns]
    left = iter(keys)
    while piece := list(islice(left, KNOWN_AT_ONCE)):
        yield _known_part(known, piece)


def known_of(parts: Iterable[KnownPart]) -> Known:
    """The names and ASNs of all parts.

    Raises:
        DamageError: a part contradicts itself.
    """
    names: dict[str, str] = {}
    asns: dict[str, str] = {}
    try:
        for part in parts:
            texts = list(map(address_text, part.addresses))
            names.update((t, n) for t, n in zip(texts, part.names, strict=True) if n)
            numbers = unpacked(part.asn)
            asns.update((t, part.asns[n - 1]) for t, n in zip(texts, numbers, strict=True) if n)
            for text, name, asn in part.texts:
                if name is not None:
                    names[text] = name
                if asn is not None:
                    asns[text] = asn
    except (IndexError, ValueError) as error:
        raise DamageError(f"names of it are not valid: {error}") from None
    return Known(names, asns)


def _known_part(known: Known, keys: Sequence[str]) -> KnownPart:
    addresses, names, numbers = [], [], []
    asns: dict[str, int] = {}
    texts = []
    for key in keys:
        name, asn = known.names.get(key), known.asns.get(key)
        address = _packed_address(key)
        if address is None or name == "":
            texts.append((key, name, asn))
            continue
        addresses.append(address)
        names.append(name or "")
        numbers.append(0 if asn is None else asns.setdefault(asn, len(asns) + 1))
    return KnownPart(tuple(addresses), tuple(names), tuple(asns), packed(numbers), tuple(texts))


def _packed_address(text: str) -> bytes | None:
    """The address as bytes; None if `address_text` would write it in another way."""
    try:
        address = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return None
    return address if address_text(address) == text else None


def _short(coordinator: str) -> tuple[bytes, str]:
    """Hexadecimal digits as bytes, of half the length; other text as it is."""
    try:
        short = bytes.fromhex(coordinator)
    except ValueError:
        return b"", coordinator
    return (short, "") if short.hex() == coordinator else (b"", coordinator)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], blob: bytes) -> _T:
    try:
        return decoder.decode(opened(blob))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamageError(str(error)) from None
