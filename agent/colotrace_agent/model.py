"""The agent's own words: what is traced, what was heard, what became of it.

Addresses are packed (4 or 16 bytes), times are nanoseconds of the monotonic clock.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from colotrace_proto.messages import MAX_PROBES, Family, NodeKind, PacketType


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
    """What all probes of a trace have in common, and from where their numbers count.

    A load balancer hashes only fields that stay the same here, so all probes go one way
    (Augustin et al., Avoiding traceroute anomalies with Paris traceroute, 2006).
    """

    packet_type: PacketType
    source: bytes
    target: bytes
    identifier: int
    """ICMP: the identifier. UDP and TCP: the source port."""
    port: int
    """UDP and TCP: the destination port. ICMP: 0."""
    first_number: int
    """Probe 0's number: ICMP's and TCP's sequence, UDP's checksum (see `packets`)."""
    first_ip_id: int
    """Probe 0's IPv4 identification, 1 to 65535."""

    @property
    def key(self) -> FlowKey:
        """What finds the trace again."""
        return FlowKey(self.packet_type, self.target, self.identifier, self.port)

    @property
    def family(self) -> Family:
        """The address family of the flow."""
        return family_of(self.target)


class Probe(NamedTuple):
    """One packet to send: the flow's probe of that ordinal, counted from 0 in order of sending."""

    flow: Flow
    ordinal: int
    ttl: int


class AnswerKind(enum.Enum):
    """What kind of packet answered."""

    ECHO_REPLY = "echo reply"
    TCP = "SYN-ACK or RST"
    DATAGRAM = "UDP datagram"
    TIME_EXCEEDED = "time exceeded"
    UNREACHABLE = "destination unreachable"
    TOO_BIG = "packet too big"
    PARAMETER = "parameter problem"


class Heard(NamedTuple):
    """A packet that may answer one of our probes, as its bytes say.

    `key` names the flow as quoted or echoed. `number` and `ip_id` are what the packet carries of
    the probe's own numbers, None where it carries none. `source` is the quoted source address,
    None in a direct answer. `code` is the ICMP code, `mtu` the next hop's, 0 where not given.
    """

    kind: AnswerKind
    responder: bytes
    key: FlowKey
    number: int | None
    ip_id: int | None = None
    source: bytes | None = None
    code: int = 0
    mtu: int = 0


class Unheard(enum.Enum):
    """Why a packet's bytes are no answer to anybody's probe."""

    NOT_OURS = "not an answer to a probe"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that counts: the first to a probe, in time."""

    ttl: int
    rtt_ns: int
    address: bytes
    kind: NodeKind
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Counters:
    """Packets heard for a trace that do not count as answers."""

    duplicates: int = 0
    late: int = 0
    foreign: int = 0
