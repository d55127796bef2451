"""What each probe of a flow carries that nobody else can know: its keyed fields.

They come out of one keyed stream for each flow, drawn under a secret of this process (SHAKE128
with the key in front is a pseudo-random function, Bertoni et al., 2011), so that nothing has to
be kept for them but the flow itself. `docs/identity.md` says how many bits each quote shows.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Self

TAG_BYTES = 8
"""Length of the tag in a probe's payload."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The keyed fields of a flow's probes, by ordinal."""

    base: int
    """32 bits from which the flow's numbers count."""
    ip_ids: tuple[int, ...]
    """IPv4 identifications, no two alike, none 0 (which would leave it to the kernel)."""
    tags: bytes
    """`TAG_BYTES` for each probe, for its payload."""

    @classmethod
    def draw(cls, secret: bytes, context: bytes, *, probes: int) -> Self:
        """The marks of a flow; `context` names it, and never comes again under that secret."""
        length = 4 + probes * (2 + TAG_BYTES)
        stream = hashlib.shake_128(secret + context).digest(length)
        (base,) = struct.unpack_from("!I", stream)
        drawn = struct.unpack_from(f"!{probes}H", stream, 4)
        return cls(base, distinct(drawn), stream[4 + 2 * probes :])

    def tag(self, ordinal: int) -> bytes:
        """The probe's tag."""
        return self.tags[ordinal * TAG_BYTES : (ordinal + 1) * TAG_BYTES]

    def find(self, tag: bytes) -> int | None:
        """The probe that has this tag."""
        at = self.tags.find(tag)
        while at >= 0 and at % TAG_BYTES:
            at = self.tags.find(tag, at + 1)
        return at // TAG_BYTES if at >= 0 else None


def distinct(drawn: tuple[int, ...]) -> tuple[int, ...]:
    """IPv4 identifications like these, but none twice, and none 0."""
    ids: dict[int, None] = {}
    for value in drawn:
        while not value or value in ids:
            value = (value + 1) % (1 << 16)
        ids[value] = None
    return tuple(ids)
