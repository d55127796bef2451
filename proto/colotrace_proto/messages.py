"""The protocol's messages as data classes. `v1/fleet.proto` documents each field.

Generated classes are used in `codec` only. The bounds are here; `codec` checks them when it
decodes. They are msgspec's structs, since a frozen dataclass takes ten times as long to make.
"""

import enum
from typing import NamedTuple, NewType

import msgspec

from .locations import Location
from .notices import Notice
from .tags import Tag

PROTOCOL_VERSION = 2
"""Version 2 has batches of messages, heartbeats on change only, and the family of a job."""
FAMILY_SINCE = 2
"""The first version with the family of a job."""

AgentId = NewType("AgentId", str)
ColoName = NewType("ColoName", str)
"""A colo's full name: its code and number, `den01`."""
JobId = NewType("JobId", str)

MAX_IDENTIFIER = 64
MAX_TARGET = 255
MAX_LABELS = 16
MAX_LABEL = 64
MAX_NOTICES = 16
MAX_LINKS = 4_096
MAX_HELD_JOBS = 10_000
MAX_TTL = 64
MAX_PACKETS_PER_TTL = 10
MAX_PROBES = MAX_TTL * MAX_PACKETS_PER_TTL
"""Of one trace."""
MAX_JOB_PROBES = 8_192
"""Of all traces of one job: the probe budget of a multipath job; a gre+icmp job has two traces."""
MAX_WAIT_MS = 5_000
MAX_PORT = 65_535
MAX_FLOW_LABEL = 2**20 - 1
"""RFC 6437: 20 bits."""
MAX_RTT_NS = 60 * 10**9
MAX_REMAINING_MS = 60_000
MAX_HOST = 64
MAX_CPU_MILLIS = 4_096_000
MAX_MEMORY_BYTES = 2**50


class Family(enum.IntEnum):
    """An address family."""

    IPV4 = 4
    IPV6 = 6

    # Keys of tables that are asked for each packet; the hash of `Enum` is computed in Python.
    __hash__ = int.__hash__


class PacketType(enum.StrEnum):
    """A packet type, by its name in the API."""

    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"
    GRE = "gre"
    GRE_ICMP = "gre+icmp"

    # See `Family`.
    __hash__ = str.__hash__

    @property
    def parts(self) -> "tuple[PacketType, ...]":
        """The types of the probes that are sent: two for a combination, else the type itself."""
        return _PARTS[self]


_PARTS = {kind: tuple(PacketType(part) for part in kind.value.split("+")) for kind in PacketType}


class NodeKind(enum.IntEnum):
    """What an answer says about the path: a hop, the target, or an end before the target."""

    TRANSIT = 0
    TARGET = 1
    BARRIER = 2


class RefusalReason(enum.IntEnum):
    """Why an agent refuses a job."""

    UNSPECIFIED = 0
    DRAINING = 1
    BUSY = 2
    UNSUPPORTED = 3
    POLICY = 4
    NO_FAMILY = 5
    NO_SOCKET = 6


class Failure(enum.IntEnum):
    """Why a job ended without a trace, or early; `NONE` if it was traced."""

    UNSPECIFIED = 0
    NONE = 1
    UNRESOLVABLE = 2
    NO_FAMILY = 3
    POLICY = 4
    SEND = 5
    CANCELLED = 6
    DEADLINE = 7
    INTERNAL = 8


class Hello(msgspec.Struct, frozen=True):
    """An agent's identity and what it offers. Each key of `tags` is there once. `location` is None
    if its host's owner has told none."""

    agent_id: AgentId
    boot_id: bytes
    colo: ColoName
    city: str
    families: frozenset[Family]
    packet_types: frozenset[PacketType]
    software_version: str
    max_jobs: int
    held_jobs: tuple[JobId, ...] = ()
    protocol_version: int = PROTOCOL_VERSION
    tags: frozenset[Tag] = frozenset()
    location: Location | None = None
    host: str = ""


class Counters(msgspec.Struct, frozen=True):
    """Packets that an agent has counted since its start."""

    sent: int = 0
    send_errors: int = 0
    duplicates: int = 0
    late: int = 0
    foreign: int = 0
    ambiguous: int = 0
    malformed: int = 0
    overflows: int = 0
    unstamped: int = 0


class Usage(msgspec.Struct, frozen=True):
    """What an agent's process uses: thousandths of one CPU core on average, and bytes of memory."""

    cpu_millis: int
    memory_bytes: int


class Heartbeat(msgspec.Struct, frozen=True):
    """A sign of life, with an agent's counters, and what it uses, if that was measured."""

    running_jobs: int = 0
    counters: Counters = Counters()
    usage: Usage | None = None


class Draining(msgspec.Struct, frozen=True):
    """The agent is about to stop and accepts no new job."""


class Capabilities(msgspec.Struct, frozen=True):
    """The address families that an agent can send now; replaces those of its Hello."""

    families: frozenset[Family]


class Presence(msgspec.Struct, frozen=True):
    """An agent's presence, published to all coordinators through a broker."""

    hello: Hello
    started_ms: int
    draining: bool = False
    heartbeat: Heartbeat = Heartbeat()


class Owner(NamedTuple):
    """Whose a job is, in opaque numbers of 32 bits: an account, and a credential of it."""

    account: int
    caller: int


class Job(msgspec.Struct, frozen=True):
    """One target to trace with one set of options. `owner` is None if the coordinator does not tell
    it, `family` if the agent chooses the family."""

    job_id: JobId
    target: str
    packet_type: PacketType
    max_ttl: int
    packets_per_ttl: int
    wait_ms: int
    port: int
    flow: int
    remaining_ms: int
    multipath: bool = False
    reply_to: str = ""
    owner: Owner | None = None
    family: Family | None = None


class UnknownJob(msgspec.Struct, frozen=True):
    """A job with a value that is not known here; it is refused as UNSUPPORTED."""

    job_id: JobId
    notice: Notice
    reply_to: str = ""


class Accepted(msgspec.Struct, frozen=True):
    """The agent runs the job."""

    job_id: JobId


class Refused(msgspec.Struct, frozen=True):
    """The agent does not run the job; `notice` is the reason for people."""

    job_id: JobId
    reason: RefusalReason
    notice: Notice | None = None


class Node(msgspec.Struct, frozen=True):
    """An address that answered, with one kind and set of labels. `address` is 4 or 16 bytes."""

    address: bytes
    kind: NodeKind = NodeKind.TRANSIT
    labels: tuple[str, ...] = ()


class Edge(msgspec.Struct, frozen=True):
    """An edge of a multipath graph, in the API a link: `flows` passed `near` at `ttl`, and `far` at
    the next TTL. Addresses are packed."""

    ttl: int
    near: bytes
    far: bytes
    flows: int


class Outcome(msgspec.Struct, frozen=True):
    """How a job ended; `cause` says why it failed, `notices` what else to tell."""

    failure: Failure
    cause: Notice | None = None
    duration_ns: int = 0
    notices: tuple[Notice, ...] = ()
    duplicates: int = 0
    late: int = 0
    foreign: int = 0
    ambiguous: int = 0
    unplaced: int = 0
    links: tuple[Edge, ...] = ()


class Replies(msgspec.Struct, frozen=True):
    """Columns of equal length, one line for each answered probe.

    `ttl` counts from 1, `rtt_ns` is in nanoseconds, `node` is an index into `nodes`. `ordinal` is
    the probe's number in its flow, from 0. `flow` is an index into the flows of all frames of the
    job so far. Agents of release 0.2 report neither: both columns are then empty.
    """

    ttl: tuple[int, ...] = ()
    rtt_ns: tuple[int, ...] = ()
    node: tuple[int, ...] = ()
    nodes: tuple[Node, ...] = ()
    ordinal: tuple[int, ...] = ()
    flow: tuple[int, ...] = ()


class FlowFields(msgspec.Struct, frozen=True):
    """The header fields that the probes of a flow share. A field is 0 if the packets lack it.

    `number` is the flow's number in the API. `identifier` is ICMP's identifier or GRE's key.
    `packet_type` is None if it is not known here.
    """

    packet_type: PacketType | None
    number: int = 0
    source_port: int = 0
    destination_port: int = 0
    identifier: int = 0
    flow_label: int = 0


class Frame(msgspec.Struct, frozen=True):
    """What the agent has received since the previous frame.

    `flows` are those that earlier frames do not have. Addresses are packed, b"" if not known.
    """

    job_id: JobId
    sequence: int
    target_address: bytes = b""
    sent: tuple[int, ...] = ()
    replies: Replies = Replies()
    outcome: Outcome | None = None
    source_address: bytes = b""
    flows: tuple[FlowFields, ...] = ()


class Ack(msgspec.Struct, frozen=True):
    """All frames of the job up to `sequence` have arrived."""

    job_id: JobId
    sequence: int


class Welcome(msgspec.Struct, frozen=True):
    """The coordinator's answer to Hello."""

    coordinator_id: bytes
    heartbeat_ms: int
    wanted_jobs: tuple[Ack, ...] = ()
    protocol_version: int = PROTOCOL_VERSION


class Cancel(msgspec.Struct, frozen=True):
    """The coordinator revokes the job."""

    job_id: JobId


class Renamed(msgspec.Struct, frozen=True):
    """The agent has another name than in its certificate; only through a broker."""


FromAgent = Hello | Heartbeat | Draining | Accepted | Refused | Frame | Capabilities
FromCoordinator = Welcome | Heartbeat | Job | UnknownJob | Cancel | Ack | Renamed
