"""The coordinator's own words: what is asked, and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from colotrace_proto.messages import ColoName, Family, PacketType
from colotrace_proto.rows import TargetRow


@dataclass(frozen=True, slots=True)
class Options:
    """How to trace, every default filled in."""

    packet_type: PacketType = PacketType.ICMP
    max_ttl: int = 15
    packets_per_ttl: int = 3
    wait_ms: int = 1_000
    port: int = 0
    flow: int = 0
    multipath: bool = False


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """A valid request: targets as they were written, colos by full name in the answer's order.

    `spent_s` is what it took to arrive, of the time that its answer has.
    """

    account_id: str
    targets: tuple[str, ...]
    colos: tuple[ColoName, ...]
    options: Options
    spent_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Message:
    """A line of the envelope's `messages` or `errors`: a code of at least 1000, words, and the
    JSON pointer of what it is about."""

    code: int
    message: str
    pointer: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request comes to: a row for each target, and what there is to say beside."""

    rows: list[TargetRow]
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class ColoStatus:
    """A colo as operators see it. `state`: `up`, `draining` (agents attached, none of which
    takes a job) or `down` (known, no agent attached)."""

    name: ColoName
    city: str
    agents: int
    families: frozenset[Family]
    packet_types: frozenset[PacketType]
    state: str


class Tracer(Protocol):
    """What the HTTP side needs of the rest."""

    def colos(self) -> Sequence[ColoStatus]:
        """Every known colo, sorted by name; nobody else need sort them."""

    async def trace(self, request: TraceRequest) -> Answer:
        """The whole answer, within `deadlines.ANSWER_S`; cancelling the call takes its jobs
        back."""
