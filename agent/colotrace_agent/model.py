"""The agent's own words: what is traced, what was heard, what became of it.

Addresses are packed (4 or 16 bytes), times are nanoseconds of the monotonic clock.
"""

import enum
from dataclasses import dataclass, field
from typing import NamedTuple, NewType

from colotrace_proto.messages import MAX_PROBES, Family, NodeKind, PacketType

from .marks import Marks

Ttl = NewType("Ttl", int)
"""A probe's TTL or hop limit, from 1."""
Ordinal = NewType("Ordinal", int)
"""A probe's number within its flow, from 0, in the order of sending."""

PORTS = range(20_000, 32_768)
"""Source ports of probes. They lie below the ports that Linux assigns to connections (32768 and
up), so that the host never wants the same one and a kernel filter can distinguish them."""


def family_of(address: bytes) -> Family:
    """The family of a packed address."""
    return Family.IPV4 if len(address) == 4 else Family.IPV6


@dataclass(frozen=True, slots=True)
class TraceSpec:
    """One address to trace, every option decided. `port` 0 leaves the choice to the agent."""

    target: bytes
    packet_type: PacketType = PacketType.ICMP
    max_ttl: int = 15
    packets_per_ttl: int = 3
    wait_ns: int = 1_000_000_000
    port: int = 0
    flow: int = 0
    rounds: bool = False
    """One probe of every TTL, then the next of every TTL; else all of one TTL after each other."""

    def __post_init__(self) -> None:
        if self.max_ttl * self.packets_per_ttl > MAX_PROBES:
            raise ValueError(f"a trace has at most {MAX_PROBES} probes")

    @property
    def family(self) -> Family:
        """The target's address family."""
        return family_of(self.target)


class FlowKey(NamedTuple):
    """What every answer to a trace's probes tells of the trace, however little it quotes."""

    packet_type: PacketType
    target: bytes
    identifier: int
    port: int


@dataclass(frozen=True, slots=True)
class Flow:
    """What all probes of a trace have in common, and what tells them apart.

    A load balancer hashes only fields that stay the same here, so all probes go one way
    (Augustin et al., Avoiding traceroute anomalies with Paris traceroute, 2006).
    """

    packet_type: PacketType
    source: bytes
    target: bytes
    identifier: int
    """ICMP: the identifier. UDP and TCP: the source port. GRE: the key."""
    port: int
    """UDP and TCP: the destination port, else 0."""
    first_number: int
    """Probe 0's number: ICMP's and TCP's sequence, UDP's checksum (see `packets`)."""
    marks: Marks
    """The probes' keyed fields."""
    key: FlowKey = field(init=False, repr=False, compare=False)
    """What finds the trace again."""

    def __post_init__(self) -> None:
        # Kept: it is asked for several times a probe.
        key = FlowKey(self.packet_type, self.target, self.identifier, self.port)
        object.__setattr__(self, "key", key)

    @property
    def family(self) -> Family:
        """The address family of the flow."""
        return family_of(self.target)


class Probe(NamedTuple):
    """One packet to send."""

    flow: Flow
    ordinal: Ordinal
    ttl: Ttl


class AnswerKind(enum.Enum):
    """What kind of packet answered."""

    ECHO_REPLY = "echo reply"
    TCP = "SYN-ACK or RST"
    CHALLENGE = "bare ACK"
    DATAGRAM = "UDP datagram"
    TIME_EXCEEDED = "time exceeded"
    UNREACHABLE = "destination unreachable"
    TOO_BIG = "packet too big"
    PARAMETER = "parameter problem"


class Heard(NamedTuple):
    """A packet that may answer one of our probes, as its bytes say.

    `key` names the flow as quoted or echoed. `number`, `ip_id` and `tag` are what the packet
    carries of the probe's own fields, None where it carries none; a segment's `number` is what it
    acknowledges. `source` is the quoted source
    address, None in a direct answer. `code` is the ICMP code; `info` the next hop's MTU or a
    parameter problem's pointer; `quoted_ttl` the quoted packet's, None in a direct answer.
    `labels` annotate the answer: what its extensions say, what was changed on the way. `cut` is
    what is left of the payload that a probe begins with (steering, then tag), where it ends, or is
    filled with zeros, before the tag does. `intact` says that the message's checksum is right.
    """

    kind: AnswerKind
    responder: bytes
    key: FlowKey
    number: int | None
    ip_id: int | None = None
    tag: bytes | None = None
    source: bytes | None = None
    code: int = 0
    info: int = 0
    quoted_ttl: int | None = None
    labels: tuple[str, ...] = ()
    cut: bytes = b""
    intact: bool = True


class MissingNeighbour(NamedTuple):
    """A next hop on the host's own link that does not answer for its link address."""

    address: bytes
    interface: str


class Unheard(enum.Enum):
    """Why a packet's bytes are no answer to anybody's probe."""

    NOT_OURS = "not an answer to a probe"
    MALFORMED = "malformed"


class Reply(NamedTuple):
    """An answer that counts: the first to a probe, in time.

    `ordinal` is the probe's number in its flow, `flow` the index of the flow in the job.
    """

    ttl: int
    rtt_ns: int
    address: bytes
    kind: NodeKind
    labels: tuple[str, ...] = ()
    ordinal: int = 0
    flow: int = 0


@dataclass(slots=True)
class Counters:
    """Packets heard for a trace that do not count as answers."""

    duplicates: int = 0
    late: int = 0
    foreign: int = 0
    ambiguous: int = 0

    def add(self, others: "Counters") -> None:
        """Adds those of another trace."""
        self.duplicates += others.duplicates
        self.late += others.late
        self.foreign += others.foreign
        self.ambiguous += others.ambiguous
