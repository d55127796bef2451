"""The protocol's messages as both programs hold them; what each means is said in `v1/fleet.proto`.

These are plain values: no generated class goes beyond `codec`, and what `codec` has decoded is
within the bounds that are written here.
"""

import enum
from dataclasses import dataclass, field
from typing import NewType

from .notices import Notice

PROTOCOL_VERSION = 1

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
"""Of all traces of one job: the budget of a multipath job; gre+icmp has two traces."""
MAX_WAIT_MS = 5_000
MAX_RTT_NS = 60 * 10**9
MAX_REMAINING_MS = 60_000


class Family(enum.IntEnum):
    """An address family."""

    IPV4 = 4
    IPV6 = 6


class PacketType(enum.StrEnum):
    """What a probe looks like, in the API's words."""

    ICMP = "icmp"
    UDP = "udp"
    TCP = "tcp"
    GRE = "gre"
    GRE_ICMP = "gre+icmp"


class NodeKind(enum.IntEnum):
    """What an answer says about the path."""

    TRANSIT = 0
    TARGET = 1
    BARRIER = 2


class RefusalReason(enum.IntEnum):
    """Why an agent does not take a job."""

    UNSPECIFIED = 0
    DRAINING = 1
    BUSY = 2
    UNSUPPORTED = 3
    POLICY = 4
    NO_FAMILY = 5
    NO_SOCKET = 6


class Failure(enum.IntEnum):
    """Why a job ended without a trace, or before its end; `NONE` where it was traced."""

    UNSPECIFIED = 0
    NONE = 1
    UNRESOLVABLE = 2
    NO_FAMILY = 3
    POLICY = 4
    SEND = 5
    CANCELLED = 6
    DEADLINE = 7
    INTERNAL = 8


@dataclass(frozen=True, slots=True)
class Hello:
    """Who is calling and what it can do."""

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


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets that an agent has counted since its start; the fields as in the protocol."""

    sent: int = 0
    send_errors: int = 0
    duplicates: int = 0
    late: int = 0
    foreign: int = 0
    ambiguous: int = 0
    malformed: int = 0
    overflows: int = 0
    unstamped: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Still there."""

    running_jobs: int = 0
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True)
class Draining:
    """The agent is about to stop and takes no new job."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The address families that an agent can send now, in place of those it named before."""

    families: frozenset[Family]


@dataclass(frozen=True, slots=True)
class Presence:
    """An agent's word to all coordinators by way of a broker."""

    hello: Hello
    started_ms: int
    draining: bool = False
    heartbeat: Heartbeat = field(default_factory=Heartbeat)


@dataclass(frozen=True, slots=True)
class Job:
    """One target to trace with one set of options."""

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


@dataclass(frozen=True, slots=True)
class UnknownJob:
    """A job that asks for something this side does not know: refused as UNSUPPORTED."""

    job_id: JobId
    notice: Notice
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job runs from now on."""

    job_id: JobId


@dataclass(frozen=True, slots=True)
class Refused:
    """The job does not run here."""

    job_id: JobId
    reason: RefusalReason
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """Somebody who answered, in one way. `address` is 4 or 16 bytes."""

    address: bytes
    kind: NodeKind = NodeKind.TRANSIT
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """Flows that were seen at one address and, one TTL further, at another; packed addresses."""

    ttl: int
    near: bytes
    far: bytes
    flows: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended."""

    failure: Failure
    cause: Notice | None = None
    duration_ns: int = 0
    notices: tuple[Notice, ...] = ()
    duplicates: int = 0
    late: int = 0
    foreign: int = 0
    ambiguous: int = 0
    unplaced: int = 0
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Replies:
    """Columns of equal length, one line for each answered probe.

    `ttl` counts from 1, `rtt_ns` is in nanoseconds, `node` counts into `nodes`.
    """

    ttl: tuple[int, ...] = ()
    rtt_ns: tuple[int, ...] = ()
    node: tuple[int, ...] = ()
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """What has come in since the frame before."""

    job_id: JobId
    sequence: int
    target_address: bytes = b""
    sent: tuple[int, ...] = ()
    replies: Replies = field(default_factory=Replies)
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """All frames of the job up to `sequence` have arrived."""

    job_id: JobId
    sequence: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """The stream is up."""

    coordinator_id: bytes
    heartbeat_ms: int
    wanted_jobs: tuple[Ack, ...] = ()
    protocol_version: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Cancel:
    """The job is no longer wanted."""

    job_id: JobId


FromAgent = Hello | Heartbeat | Draining | Accepted | Refused | Frame | Capabilities
FromCoordinator = Welcome | Heartbeat | Job | UnknownJob | Cancel | Ack
