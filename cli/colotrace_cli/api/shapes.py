"""Shapes of the API's answers, as far as the command uses them; unknown fields are ignored."""

import re

import msgspec
from colotrace_proto import rows
from colotrace_proto.text import safe

_ROW = re.compile(r"/result/(\d{1,4})/colos/(\d{1,4})(?:/|$)")


class Source(msgspec.Struct, frozen=True):
    """The subject of a message, as a JSON pointer."""

    pointer: str = ""


class Message(msgspec.Struct, frozen=True):
    """An element of the envelope's `errors` or `messages`."""

    code: int
    message: str
    source: Source | None = None
    error_chain: list["Message"] = []

    @property
    def row(self) -> tuple[int, int] | None:
        """Indexes of target and colo, if the message is about a row of the result; else None."""
        found = _ROW.match(self.source.pointer) if self.source else None
        return (int(found[1]), int(found[2])) if found else None

    def in_words(self) -> str:
        """Code and message, with the pointer if that is not a row of the result."""
        text = f"{self.code} {safe(self.message, most=500)}"
        if self.source and self.source.pointer and self.row is None:
            text += f" (at {safe(self.source.pointer)})"
        return text


class Counts(msgspec.Struct, frozen=True):
    """Rows of a measurement: asked for, ended, with an error, without an answer of the target."""

    asked: int = 0
    finished: int = 0
    failed: int = 0
    unreached: int = 0


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement without its rows; times are RFC 3339 texts in UTC."""

    id: str
    status: str
    outcome: str = ""
    began_at: str = ""
    ended_at: str | None = None
    took_ms: int | None = None
    targets: list[str] = []
    colos: list[str] = []
    rows: Counts = Counts()

    @property
    def running(self) -> bool:
        """Whether rows may still come."""
        return self.status == "running"


class PageInfo(msgspec.Struct, frozen=True):
    """`result_info` of a list; `cursor` leads to the next page."""

    cursor: str | None = None


class ColoState(msgspec.Struct, frozen=True):
    """State of a colo at the coordinator."""

    name: str
    city: str = ""
    state: str = ""
    agents: int = 0
    families: list[str] = []
    packet_types: list[str] = []


class AgentState(msgspec.Struct, frozen=True):
    """State of an agent at the coordinator."""

    id: str
    colo: str
    version: str = ""
    families: list[str] = []
    packet_types: list[str] = []
    tags: dict[str, str] = {}
    attached_since: str = ""
    last_trouble: str | None = None
    host: str = ""
    cpu_millis: int | None = None
    memory_bytes: int | None = None


class FleetAgent(msgspec.Struct, frozen=True):
    """An agent of the fleet, attached to any coordinator or to none."""

    id: str
    colo: str = ""
    agent_id: str = ""
    host: str = ""
    state: str = ""
    version: str = ""
    families: list[str] = []
    attached_since: str | None = None
    last_seen_at: str | None = None
    certificate_ends_at: str | None = None
    last_trouble: str | None = None
    cpu_millis: int | None = None
    memory_bytes: int | None = None


class RenamedColo(msgspec.Struct, frozen=True):
    """A colo's new name, and its agents."""

    name: str
    agents: int = 0


class NewJoinToken(msgspec.Struct, frozen=True):
    """The line to paste on probe hosts."""

    command: str


class Answer(msgspec.Struct, frozen=True):
    """The rows and messages of a measurement; `measurement` is known if it was kept."""

    rows: list[rows.TargetRow]
    messages: list[Message]
    measurement: Measurement | None = None


class RowName(msgspec.Struct, frozen=True):
    """A row, by its target as asked for, and its colo."""

    target: str
    colo: str


class ChangedHop(msgspec.Struct, frozen=True):
    """An address that is new or gone, at this TTL."""

    ttl: int
    ip: str
    name: str = ""
    asn: str = ""


class MovedHop(msgspec.Struct, frozen=True):
    """An address that is on both paths, at another TTL."""

    before_ttl: int
    after_ttl: int
    ip: str
    name: str = ""
    asn: str = ""


class RttChange(msgspec.Struct, frozen=True):
    """Medians of the target's round-trip times, in milliseconds."""

    before_ms: float
    after_ms: float
    change_ms: float


class LossChange(msgspec.Struct, frozen=True):
    """Probes that the target should have answered, and the lost ones of them."""

    before_lost: int
    before_sent: int
    after_lost: int
    after_sent: int


class RowChange(msgspec.Struct, frozen=True):
    """What differs in one row; `answer` and `address` are None where they don't. `left_out` counts
    hops and ASes that the coordinator did not list."""

    target: str
    colo: str
    answer: str | None = None
    address: list[str] | None = None
    appeared: list[ChangedHop] = []
    went: list[ChangedHop] = []
    moved: list[MovedHop] = []
    joined_asns: list[str] = []
    left_asns: list[str] = []
    loss: LossChange | None = None
    rtt: RttChange | None = None
    left_out: int = 0


class Cluster(msgspec.Struct, frozen=True):
    """Rows that differ in the same way, in one sentence."""

    in_words: str
    rows: list[RowName] = []


class NotCompared(msgspec.Struct, frozen=True):
    """Why something of some rows was not compared."""

    why: str


class Difference(msgspec.Struct, frozen=True):
    """The differences of measurement `before` to `after`, by their ids.

    `in_words` begins with what was compared; then it has a sentence for each cluster, and what was
    not compared. `rows` counts the rows that were compared, `paths` those of them whose paths were.
    """

    before: str
    after: str
    empty: bool
    in_words: list[str]
    rows: int = 0
    paths: int = 0
    clusters: list[Cluster] = []
    changes: list[RowChange] = []
    not_compared: list[NotCompared] = []

    @property
    def other_flows(self) -> bool:
        """Whether some paths were not compared because the probes had other header fields."""
        return any(each.why == "other_flow" for each in self.not_compared)


class Finding(msgspec.Struct, frozen=True):
    """What bad rows of a target have in common, in one sentence."""

    in_words: str


class Fate(msgspec.Struct, frozen=True):
    """The findings, most significant first."""

    findings: list[Finding] = []


class Graph(msgspec.Struct, frozen=True):
    """What the command uses of the graph of a measurement."""

    fate: Fate | None = None
