"""What a measurement has beside its rows, as bytes: its head for lists, and its end.

The head is the summary without the id and the account, which have columns of their own. The body
has the names and ASNs, and the rows if they are few. Chunks of other measurements are apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import msgspec
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Options, Status, Summary
from colotrace_proto.messages import ColoName, Family, PacketType
from colotrace_proto.tally import NOTHING_KNOWN, Known

from .packing import Chunk
from .seal import DamageError, opened, sealed

_MAX_MS = 100_000_000_000_000
"""Greatest begin and duration, in milliseconds: 3,169 years, so that each end is a valid date."""
MORE_AT_ONCE = 1_000
"""Names, or ASNs, in one piece."""
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


class More(msgspec.Struct, array_like=True, frozen=True):
    """Names and ASNs by the address as text."""

    names: dict[str, str]
    asns: dict[str, str]


class Body(msgspec.Struct, array_like=True, frozen=True):
    """What is stored when a measurement has ended.

    `names` and `asns` are those of the chunk's addresses, in their order. `more` has those of other
    addresses in pieces (`More`), each of which takes less than a millisecond.
    """

    chunk: Chunk | None = None
    names: tuple[str | None, ...] = ()
    asns: tuple[str | None, ...] = ()
    more: tuple[msgspec.Raw, ...] = ()


_ENCODER = msgspec.msgpack.Encoder()
_HEAD = msgspec.msgpack.Decoder(_Head)
_BODY = msgspec.msgpack.Decoder(Body)
_MORE = msgspec.msgpack.Decoder(More)
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
    if not 0 <= told.began_ms <= _MAX_MS or not -_MAX_MS <= (told.took_ms or 0) <= _MAX_MS:
        raise DamageError("its times are not valid")
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


def body_steps(chunk: Chunk | None, known: Known) -> Iterator[Body]:
    """The body of a measurement that has ended: the last one that is returned. To make each of
    those before takes a short time."""
    texts = [address_text(address) for address in chunk.addresses] if chunk is not None else []
    names, asns = tuple(map(known.names.get, texts)), tuple(map(known.asns.get, texts))
    body = Body(chunk, names, asns)
    yield body
    if _all(known.names, names) and _all(known.asns, asns):
        return
    more = []
    for piece in _pieces(known.names, texts):
        more.append(msgspec.Raw(_ENCODER.encode(More(names=piece, asns={}))))
        yield body
    for piece in _pieces(known.asns, texts):
        more.append(msgspec.Raw(_ENCODER.encode(More(names={}, asns=piece))))
        yield body
    yield Body(chunk, names, asns, tuple(more))


def known_steps(body: Body) -> Iterator[Known]:
    """The names and ASNs of a body: the last one that is returned has all of them. To read each
    piece takes a short time.

    Raises:
        DamageError: the body contradicts itself.
    """
    addresses = body.chunk.addresses if body.chunk is not None else ()
    names: dict[str, str] = {}
    asns: dict[str, str] = {}
    try:
        for address, name, asn in zip(addresses, body.names, body.asns, strict=True):
            text = address_text(address)
            if name is not None:
                names[text] = name
            if asn is not None:
                asns[text] = asn
        for raw in body.more:
            yield NOTHING_KNOWN
            part = _MORE.decode(raw)
            names.update(part.names)
            asns.update(part.asns)
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise DamageError(f"names of it are not valid: {error}") from None
    yield Known(names, asns)


def _all(told: Mapping[str, str], found: Sequence[str | None]) -> bool:
    """Whether nothing else is told."""
    return len(found) - found.count(None) == len(told)


def _pieces(told: Mapping[str, str], besides: Sequence[str]) -> Iterator[dict[str, str]]:
    """Names and ASNs of all addresses but these, in pieces."""
    known = set(besides)
    left = ((text, value) for text, value in told.items() if text not in known)
    while piece := dict(islice(left, MORE_AT_ONCE)):
        yield piece


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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamageError(str(error)) from None
