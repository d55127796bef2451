"""The coordinator's data classes: requests and answers."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from colotrace_analysis.diff import Diff
from colotrace_analysis.graph import Graph
from colotrace_analysis.merging import By
from colotrace_proto.locations import Location
from colotrace_proto.measured import Measured, Options, Outcome, Summary
from colotrace_proto.messages import AgentId, ColoName, Family, PacketType, Usage
from colotrace_proto.rows import ColoRow
from colotrace_proto.tags import Tag

from .colos.known import KnownColos
from .live.feed import Feed


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
    agent is attached). `location` is that of the first agent, by id, that tells one; if no agent is
    attached, that of the last one that was."""

    name: ColoName
    city: str
    agents: int
    families: frozenset[Family]
    packet_types: frozenset[PacketType]
    state: str
    location: Location | None = None


class Trouble(NamedTuple):
    """What went wrong with an agent; `at` is in seconds of Unix time."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """An attached agent. `attached_since` is in seconds of Unix time."""

    id: AgentId
    colo: ColoName
    version: str
    families: frozenset[Family]
    packet_types: frozenset[PacketType]
    tags: frozenset[Tag]
    attached_since: float
    last_trouble: Trouble | None
    location: Location | None = None
    host: str = ""
    usage: Usage | None = None


class Tracer(Protocol):
    """Measures, for the API."""

    @property
    def known_colos(self) -> KnownColos:
        """All known colos. Each request asks them, so they are not computed."""

    def colos(self) -> Sequence[ColoStatus]:
        """The state of every known colo, sorted by name."""

    def agents(self) -> AsyncIterator[AgentStatus]:
        """The attached agents by colo and id, a few in each turn of the event loop."""

    async def trace(self, request: TraceRequest) -> Answer:
        """The whole answer, within `deadlines.ANSWER_S`. Cancelling the call cancels its jobs; the
        message `LATE` of the cancellation says that it was too late."""

    def start(
        self, request: TraceRequest, *, within_s: float, ended: Callable[[], None]
    ) -> Summary:
        """Begin a measurement that goes on by itself, for `within_s` at most; `ended` is called
        once it has ended."""


class Measurements(Protocol):
    """Finds measurements, for the API. What is not of the account is not there."""

    async def find(self, account_id: str, measurement_id: str) -> Summary | None:
        """A measurement without its rows."""

    async def show(self, account_id: str, measurement_id: str) -> Answer | None:
        """A measurement as far as it has come."""

    async def measured(self, account_id: str, measurement_id: str) -> Measured | None:
        """The same as it is recorded."""

    async def newest(
        self, account_id: str, wanted: Filter, *, before: str | None, skip: int, most: int
    ) -> Sequence[Summary]:
        """Measurements, newest first: of those with an id less than `before`, `most` after the
        first `skip`."""

    async def pair(
        self, account_id: str, target: str, colo: ColoName, *, up_to: str, most: int
    ) -> Sequence[Measured]:
        """The rows of a target and a colo, each with its measurement, newest first; only those
        with an id of at most `up_to`."""

    async def feed(self, account_id: str, measurement_id: str, *, position: int = 0) -> Feed | None:
        """The events of a measurement, of one that has ended all at once. `position` is that of a
        client that resumes."""

    async def cancel(self, account_id: str, measurement_id: str) -> bool:
        """Whether the measurement ran, and was cancelled."""

    async def remove(self, account_id: str, measurement_id: str) -> bool:
        """Whether there was one that had ended; it is removed."""

    async def graph(self, measured: Measured, *, target: str | None, by: By) -> Graph:
        """The merged paths of a target, or of all."""

    async def diff(self, before: Measured, after: Measured) -> Diff:
        """What differs between two measurements."""
