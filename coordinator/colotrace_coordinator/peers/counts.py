"""What coordinators count together: one `Counts` for each kind of use."""

from collections.abc import Iterable
from typing import Annotated, Protocol

import msgspec

MAX_KEY = 320
"""Greatest length of a part of a key: an account's or a credential's id, or a target."""
MAX_COUNT = 1_000_000_000
WINDOW_S = 3_600.0


class Count(msgspec.Struct, frozen=True, array_like=True):
    """A number of uses by a key, such as (account, target)."""

    key: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MAX_KEY)], ...],
        msgspec.Meta(min_length=1, max_length=3),
    ]
    number: Annotated[int, msgspec.Meta(ge=-MAX_COUNT, le=MAX_COUNT)]
    left_s: Annotated[float, msgspec.Meta(ge=0, le=WINDOW_S)] = 0.0
    """How long the count stays valid, where it does not for ever."""


class Counts(Protocol):
    """One kind of use, counted by this coordinator and by the others."""

    @property
    def key_parts(self) -> int:
        """How many parts each key has."""

    def changes(self, now: float) -> Iterable[Count]:
        """What this coordinator has counted since the last call."""

    def everything(self) -> Iterable[Count]:
        """What a coordinator that has just started must know."""

    def heard(self, origin: str, count: Count, now: float, *, whole: bool) -> None:
        """Another coordinator, with the id `origin`, reports a count: of its `changes`, or `whole`
        if it is of `everything`."""

    def gone(self, origin: str) -> None:
        """Another coordinator is no longer there."""
