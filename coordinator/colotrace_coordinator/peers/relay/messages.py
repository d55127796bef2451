"""Messages between coordinators about measurements that run: their bytes, which are msgpack.

    follower                             runner
      Follow, to all coordinators ────────▶      who runs it? Later ones go to the runner alone
      ◀──────────────────── Part, Part, …        what there is, then events; one a second at least
      Follow, every few seconds ──────────▶      it is still watched
      Follow of the next round ───────────▶      messages were lost: once more, from this position
      Leave ──────────────────────────────▶
      ◀─────────────────────────── Ended         the runner sends no more
      Cancel, to all coordinators ────────▶
      ◀─────────────────────── Cancelled

A follower chooses a random `session` for each measurement, and ignores messages of other sessions.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import msgspec

from colotrace_coordinator.errors import InvalidReportError
from colotrace_coordinator.live.feed import RECORDED, Event, Kind
from colotrace_coordinator.peers.counts import MAX_KEY

MAX_MESSAGE = 16_384
"""Greatest size of a message, in bytes; that of the broker's packets."""
MAX_EVENT = 4 << 20
"""Greatest size of an event's data. A measurement with a greater one is not followed."""
BATCH = 64 << 10
"""The events of a batch have so many bytes before compression, or it has one event alone."""
_MAX_BATCH = MAX_EVENT + BATCH
_PIECE = 15_872
"""Bytes of a batch in a message."""
_MAX_PIECES = _MAX_BATCH // _PIECE + 1
MAX_EVENTS = 256
"""Events of a batch. A few kilobytes can hold hundreds of thousands of empty ones."""
_EVENT_OVERHEAD = 24

Process = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
_Identity = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
_Account = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Later versions may add fields and kinds; unknown ones are ignored."""

    origin: Process
    """The coordinator that sends it."""
    session: _Number


class Follow(_Message, frozen=True, tag="follow"):
    """The origin wants the events of a measurement after `position`. If `round` is not that of the
    session, they are sent from there, which repairs losses."""

    account: _Account
    id: _Identity
    position: _Number = 0
    round: _Number = 0


class Leave(_Message, frozen=True, tag="leave"):
    """The origin no longer follows."""


class Part(_Message, frozen=True, tag="part"):
    """A piece of a batch of events; without events it says that the runner is there.

    `count` numbers the messages of a round from 0, so that a lost one is noticed.
    """

    round: _Number
    count: _Number
    position: _Number
    """The sequence number of the runner's last event, which may follow in later batches."""
    piece: Annotated[int, msgspec.Meta(ge=0, lt=_MAX_PIECES)] = 0
    pieces: Annotated[int, msgspec.Meta(ge=1, le=_MAX_PIECES)] = 1
    data: bytes = b""


class Ended(_Message, frozen=True, tag="ended"):
    """The runner sends no more of the session."""


class Cancel(_Message, frozen=True, tag="cancel"):
    """The origin wants a measurement to be cancelled."""

    account: _Account
    id: _Identity


class Cancelled(_Message, frozen=True, tag="cancelled"):
    """The origin ran it, and has cancelled it."""


class Echo(_Message, frozen=True, tag="echo"):
    """Sent by a coordinator to itself, to see whether the broker passes messages on."""


Message = Follow | Leave | Part | Ended | Cancel | Cancelled | Echo


class _Kind(msgspec.Struct, frozen=True):
    kind: str


_KNOWN = frozenset(str(each.__struct_config__.tag) for each in Message.__args__)
_ENCODER = msgspec.msgpack.Encoder()
_KINDS = msgspec.msgpack.Decoder(_Kind)
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_PLAIN = tuple[_Number, str, _Number | None, bytes]
_EVENTS: msgspec.msgpack.Decoder[list[_PLAIN]] = msgspec.msgpack.Decoder(
    Annotated[list[_PLAIN], msgspec.Meta(max_length=MAX_EVENTS)]
)
_KINDS_OF_EVENTS = {str(kind): kind for kind in Kind}


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    return _ENCODER.encode(message)


def decode(payload: bytes) -> Message | None:
    """The message; None if its kind is that of a later version.

    Raises:
        InvalidReportError: it is invalid.
    """
    if len(payload) > MAX_MESSAGE:
        raise InvalidReportError(f"longer than {MAX_MESSAGE:,} bytes")
    try:
        if _KINDS.decode(payload).kind not in _KNOWN:
            return None
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidReportError(str(error)) from None


def weight(event: Event) -> int:
    """The bytes of an event in a batch."""
    return len(event.data) + _EVENT_OVERHEAD


def pack(events: Sequence[Event]) -> Iterator[bytes]:
    """The pieces of a batch, each for a message."""
    plain = [(each.sequence, str(each.kind), each.row, each.data) for each in events]
    # Level 1 takes a third of the default's time: 0.6 ms for 64 KiB.
    packed = zlib.compress(_ENCODER.encode(plain), 1)
    for start in range(0, len(packed), _PIECE):
        yield packed[start : start + _PIECE]


class Batch(NamedTuple):
    """What a batch has. `position` is the greatest sequence number, 0 without events; `unknown` are
    kinds of a later version, whose events are left out."""

    events: list[Event]
    position: int
    unknown: list[str]


def unpack(packed: bytes) -> Batch:
    """The events of a batch.

    Raises:
        InvalidReportError: it is invalid.
    """
    events: list[Event] = []
    position, unknown = 0, []
    for sequence, kind_text, row, data in _plain(packed):
        kind = _KINDS_OF_EVENTS.get(kind_text)
        if sequence >= RECORDED and kind is not Kind.END:
            # A feed with such a number would ignore its end.
            raise InvalidReportError("a sequence number that no running measurement reaches")
        position = max(position, sequence)
        if kind is None:
            unknown.append(kind_text)
        else:
            events.append(Event(sequence, kind, data, row))
    return Batch(events, position, unknown)


def _plain(packed: bytes) -> list[_PLAIN]:
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(packed, _MAX_BATCH)
        if reader.unconsumed_tail or not reader.eof:
            raise InvalidReportError("a batch of events is cut off, or too long")
        return _EVENTS.decode(plain)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise InvalidReportError(str(error)) from None
