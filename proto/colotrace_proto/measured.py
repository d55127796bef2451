"""A measurement as it is recorded: what was asked, and the replies of each row.

Everything that is shown of a measurement is computed from this: the API's rows (`tally`), all
formats, the graph, and the comparison of two measurements. Programs hand it to one another's
packages as it is; no network protocol carries it.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from .messages import ColoName, Family, FlowFields, NodeKind, PacketType
from .tally import NOTHING_KNOWN, Gathered, Known


class Status(enum.StrEnum):
    """The state of a measurement, by its name in the API."""

    RUNNING = "running"
    COMPLETE = "complete"
    """Every row ended, whether with an answer of its target or with an error."""
    PARTIAL = "partial"
    """Its coordinator ended before it did, or could not put all of it together."""
    CANCELLED = "cancelled"


class Outcome(enum.StrEnum):
    """How the rows of a measurement ended: the worst of them."""

    COMPLETE = "complete"
    """All targets answered."""
    UNFINISHED = "unfinished"
    """Some row has not ended: it is still to come, or it was lost with its coordinator."""
    UNREACHED = "unreached"
    """Some target did not answer, and no row has an error."""
    ERRORS = "errors"


class Options(NamedTuple):
    """How to trace; the defaults are those of the API.

    `family` is None if the agent chooses. A tuple, since each job is looked up by its options
    several times.
    """

    packet_type: PacketType = PacketType.ICMP
    max_ttl: int = 15
    packets_per_ttl: int = 3
    wait_ms: int = 1_000
    port: int = 0
    flow: int = 0
    multipath: bool = False
    family: Family | None = None

    @property
    def packets(self) -> int:
        """Packets that a row is expected to send to its target: one probe for each TTL and try, for
        each of its packet types. A multipath row may send more."""
        return len(self.packet_type.parts) * self.max_ttl * self.packets_per_ttl


class Remark(msgspec.Struct, frozen=True):
    """A message of the API about one row: a code (`codes`) and a text."""

    code: int
    text: str


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a target from a colo. `began_ms` is in milliseconds of Unix time.

    `flows` are what `gathered.replies.flow` indexes. They and `source_address` (packed) are empty
    if the agent is of release 0.2.
    """

    gathered: Gathered
    began_ms: int
    source_address: bytes = b""
    flows: tuple[FlowFields, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether the target answered."""
        if self.gathered.unplaced:
            return True
        return any(node.kind is NodeKind.TARGET for node in self.gathered.replies.nodes)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement without its rows. Times are in milliseconds of Unix time.

    `id` has 32 hexadecimal digits, and ids sort by time. `caller` is the id of the credential, ""
    if there is none. `rows` counts the rows that were asked for, `finished` those that have ended,
    `failed` those with an error, `unreached` those without an error whose target did not answer.
    `coordinator` is the identity of the process that runs it.
    """

    id: str
    account_id: str
    caller: str
    coordinator: str
    status: Status
    began_ms: int
    ended_ms: int | None
    targets: tuple[str, ...]
    colos: tuple[ColoName, ...]
    options: Options
    finished: int = 0
    failed: int = 0
    unreached: int = 0

    @property
    def rows(self) -> int:
        """Rows that were asked for: a row of each colo for each target."""
        return len(self.targets) * len(self.colos)

    @property
    def outcome(self) -> Outcome:
        """The worst of the rows."""
        if self.finished < self.rows:
            return Outcome.UNFINISHED
        if self.failed:
            return Outcome.ERRORS
        return Outcome.UNREACHED if self.unreached else Outcome.COMPLETE

    def place(self, row: int) -> tuple[int, int]:
        """Indexes of target and colo of a row; rows are numbered target by target."""
        return divmod(row, len(self.colos))


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement with its rows, by their number (see `Summary.place`). Rows that have not ended,
    or are lost, are absent."""

    summary: Summary
    traces: Mapping[int, Trace]
    known: Known = NOTHING_KNOWN

    def of_target(self, target: int) -> Sequence[Trace]:
        """The rows of a target, in the order of the colos."""
        width = len(self.summary.colos)
        numbers = range(target * width, (target + 1) * width)
        return [self.traces[number] for number in numbers if number in self.traces]
