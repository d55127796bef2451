"""What a measurement has beside its rows, as bytes: its head for lists, and its end.

The head is the summary without the id and the account, which have columns of their own. The body
has the names and ASNs, and the rows if they are few. Chunks of other measurements are apart.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Options, Status, Summary
from colotrace_proto.messages import ColoName, Family, PacketType
from colotrace_proto.tally import Known

from .packing import Chunk
from .seal import DamageError, opened, sealed

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


class Body(msgspec.Struct, array_like=True, frozen=True):
    """What is stored when a measurement has ended.

    `names` and `asns` are those of the chunk's addresses, in their order; `more_names` and
    `more_asns` those of other addresses, by the address as text.
    """

    chunk: Chunk | None = None
    names: tuple[str | None, ...] = ()
    asns: tuple[str | None, ...] = ()
    more_names: dict[str, str] = {}
    more_asns: dict[str, str] = {}


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


def body_with(chunk: Chunk | None, known: Known) -> Body:
    """The body of a measurement that has ended."""
    texts = [address_text(address) for address in chunk.addresses] if chunk is not None else []
    names, more_names = _split(known.names, texts)
    asns, more_asns = _split(known.asns, texts)
    return Body(chunk, names, asns, more_names, more_asns)


def known_of(body: Body) -> Known:
    """The names and ASNs of a body.

    Raises:
        DamageError: the body contradicts itself.
    """
    addresses = body.chunk.addresses if body.chunk is not None else ()
    try:
        texts = [address_text(address) for address in addresses]
        return Known(
            {**_joined(texts, body.names), **body.more_names},
            {**_joined(texts, body.asns), **body.more_asns},
        )
    except ValueError as error:
        raise DamageError(f"names of it are not valid: {error}") from None


def _split(
    told: Mapping[str, str], texts: Sequence[str]
) -> tuple[tuple[str | None, ...], dict[str, str]]:
    """What is told of these addresses, and of the others."""
    if not texts:
        return (), dict(told)
    found = tuple(map(told.get, texts))
    if len(texts) - found.count(None) == len(told):
        return found, {}
    return found, {text: told[text] for text in told.keys() - set(texts)}


def _joined(texts: Sequence[str], told: Sequence[str | None]) -> dict[str, str]:
    return {text: each for text, each in zip(texts, told, strict=True) if each is not None}


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
