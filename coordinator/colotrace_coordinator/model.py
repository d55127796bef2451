"""The coordinator's data classes: requests and answers."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from colotrace_proto.measured import Measured, Options, Outcome, Summary
from colotrace_proto.messages import ColoName, Family, PacketType
from colotrace_proto.rows import ColoRow

from .colos.known import KnownColos


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """A valid request: targets as written, colos by full name in the order of the answer.

    `caller` is the credential. `spent_s`: how long it took to arrive; that is part of the time for
    the answer.
    """

    account_id: str
    targets: tuple[str, ...]
    colos: tuple[ColoName, ...]
    options: Options
    caller: str = field(default="", compare=False)
    spent_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Message:
    """An element of the envelope's `messages` or `errors`: a code (`colotrace_proto.codes`), a
    text, and the JSON pointer (RFC 6901) of its subject."""

    code: int
    message: str
    pointer: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: for each target a row of each colo, and messages about them.

    `rows` yields the rows of the first target, then those of the next, in pieces of at least one
    row and of one target each. They are computed as they are asked for, once.
    """

    targets: Sequence[str]
    rows_of_target: int
    rows: AsyncIterator[Sequence[ColoRow]]
    messages: list[Message]
    measured: Measured
    """All of it as it is recorded."""


LATE = "late"
"""The message of a cancellation: the measurement was too late."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which measurements are wanted; "" and None leave all.

    `colo` is a name or a code. Times are in milliseconds of Unix time: from `since_ms` on, before
    `until_ms`.
    """

    target: str = ""
    colo: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    packet_type: PacketType | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class ColoStatus:
    """A colo and its agents. `state`: `up`, `draining` (no attached agent takes jobs) or `down` (no
    agent is attached)."""

    name: ColoName
    city: str
    agents: int
    families: frozenset[Family]
    packet_types: frozenset[PacketType]
    state: str


class Tracer(Protocol):
    """Measures, for the API."""

    @property
    def known_colos(self) -> KnownColos:
        """All known colos. Each request asks them, so they are not computed."""

    def colos(self) -> Sequence[ColoStatus]:
        """The state of every known colo, sorted by name."""

    async def trace(self, request: TraceRequest) -> Answer:
        """The whole answer, within `deadlines.ANSWER_S`. Cancelling the call cancels its jobs; the
        message `LATE` of the cancellation says that it was too late."""

    def start(
        self, request: TraceRequest, *, within_s: float, ended: Callable[[], None]
    ) -> Summary:
        """Begin a measurement that goes on by itself, for `within_s` at most; `ended` is called
        once it has ended."""
