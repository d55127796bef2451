"""A scenario file, as types: what the network does, what is traced, what a correct trace says.

Every table refuses unknown keys, so that a misspelt behaviour is an error and not a plain hop.
Wherever a node is named (`address`, `errors_from`, `from`, `to`) the words are: `"3"` the router at
TTL 3 (any of its addresses; the third of `hops`, where branches differ in length), `"3.2"` its
second address, `"target"`, `"prober"`, `"stranger"` (an address that is nowhere on the path).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from scenario import kinds

Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Milliseconds = Annotated[float, Meta(ge=0)]
Family = Literal[4, 6]
Ordinal = Annotated[str, Meta(pattern=r"^\d+$")]
"""The how-manieth probe of its TTL, from 0 (TOML keys are strings)."""

Span = int | tuple[int, int]
"""A count: exact, or the least and the most that is right."""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a scenario file."""


class Limit(Table, frozen=True, kw_only=True):
    """A token bucket. The default is Linux's per peer: 6 at once, then 1 a second."""

    burst: Positive = 6
    per_s: Milliseconds = 1.0
    # Linux refills faster in IPv6, by the length of the prefix that leads back: 4 for a /64.
    per_s6: Milliseconds | None = None
    scope: kinds.LimitScope = kinds.LimitScope.ERRORS


class Mpls(Table, frozen=True, kw_only=True):
    """One entry of an MPLS label stack (RFC 4950)."""

    label: Annotated[int, Meta(ge=0, lt=1 << 20)]
    exp: Annotated[int, Meta(ge=0, le=7)] = 0
    ttl: Annotated[int, Meta(ge=0, le=255)] = 1


class Interface(Table, frozen=True, kw_only=True):
    """What RFC 5837 tells of one interface of the router."""

    role: kinds.InterfaceRole = kinds.InterfaceRole.INCOMING
    index: Natural | None = None
    address: str | None = None
    name: Annotated[str, Meta(max_length=63)] | None = None
    mtu: Natural | None = None


class Extension(Table, frozen=True, kw_only=True):
    """RFC 4884 extensions behind a quote that is cut or padded to `pad_to` bytes."""

    mpls: tuple[Mpls, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    # An object of a class that nobody knows stands before the others.
    unknown_object: bool = False
    # The length field of the first object: right, or a lie.
    object_length: Literal["right"] | Annotated[int, Meta(ge=0, le=65535)] = "right"
    pad_to: Positive = 128
    # The length field: what RFC 4884 asks for, 0 as old routers leave it, or a lie.
    length: Literal["right"] | Annotated[int, Meta(ge=0, le=255)] = "right"
    checksum_right: bool = True
    version: Annotated[int, Meta(ge=0, le=15)] = 2
    # Bytes missing at the end of the packet.
    cut: Natural = 0


class Behaviour(Table, frozen=True, kw_only=True):
    """How a router or a target answers, whatever it answers. Ordinals count from 0 per TTL."""

    rtt_ms: Milliseconds = 10.0
    # Added to the RTT, in turn.
    jitter_ms: tuple[Milliseconds, ...] = (0.0,)
    # Added to the RTT of the probes with these ordinals.
    delays_ms: dict[Ordinal, Milliseconds] = field(default_factory=dict)
    silent: bool = False
    silent_to: tuple[kinds.Protocol, ...] = ()
    # Answers that get lost on the way back: what they cost the answerer is spent.
    lose: tuple[Natural, ...] = ()
    # Probes that get lost on the way to it.
    lose_out: tuple[Natural, ...] = ()
    limit: Limit | None = None
    copies: Positive = 1
    forge: kinds.Forgery | None = None
    # Bytes quoted after the inner IP header.
    quote: Literal["full"] | Natural = "full"
    quoted_ttl: Annotated[int, Meta(ge=0, le=255)] | None = None
    # The byte with DSCP and ECN (RFC 2474), as somebody on the way has set it.
    quoted_tos: Annotated[int, Meta(ge=0, le=255)] | None = None
    quoted_id: kinds.QuotedId = kinds.QuotedId.SAME
    quoted_checksum: kinds.QuotedChecksum = kinds.QuotedChecksum.SAME
    nat: kinds.Nat = kinds.Nat.NONE
    # The quoted header has grown by router alert (IPv4) or a hop-by-hop header (IPv6).
    inner_options: bool = False
    # The quoted IPv6 header is followed by these extension headers, in this order.
    quoted_headers: tuple[kinds.ExtensionHeader, ...] = ()
    extension: Extension | None = None
    # The checksum of the ICMP messages that it sends, or of those that a translator passes on.
    icmp_checksum: Literal["right", "wrong"] = "right"


class Hop(Behaviour, frozen=True, kw_only=True):
    """The router at one TTL."""

    address: str | None = None
    address4: str | None = None
    address6: str | None = None
    # Equal-cost routers at this TTL, and how packets are spread over them.
    width: Positive = 1
    balance: kinds.Balance = kinds.Balance.FLOW
    # Balanced by packet: so many that come by take the same router. Many: a route that changes.
    in_a_row: Positive = 1
    # Takes the branch that the router at this TTL chose, so that a diamond has true links.
    follows: Positive | None = None
    # Stands on that branch (from 1) of the hop that it follows, and on no other: those are shorter.
    branch: Positive | None = None
    # Of the equal routers, those that never answer (from 1).
    silent_nodes: tuple[Positive, ...] = ()
    # Answers every packet that it would expire or forward with this error.
    refuse: kinds.Error | None = None
    refused: kinds.RefusedPackets = kinds.RefusedPackets.ALL
    mtu: Natural = 1400
    # Forwards nothing, says nothing about it.
    blackhole: bool = False
    # Loses, of what it forwards, the probes with these ordinals.
    drops: tuple[Natural, ...] = ()
    decrement: kinds.Decrement = kinds.Decrement.ONE
    # Packets sent with these TTLs are answered here, in the target's name.
    impersonates: tuple[Positive, ...] = ()


class Target(Behaviour, frozen=True, kw_only=True):
    """The traced host, one TTL after the last router."""

    rtt_ms: Milliseconds = 50.0
    address4: str | None = None
    address6: str | None = None
    icmp: kinds.Answer = kinds.Answer.REPLY
    udp: kinds.Answer = kinds.Answer.PORT_UNREACHABLE
    tcp: kinds.TcpAnswer = kinds.TcpAnswer.RST_ACK
    tcp_ports: dict[Ordinal, kinds.TcpAnswer] = field(default_factory=dict)
    gre: kinds.GreAnswer = kinds.GreAnswer.PROTOCOL_UNREACHABLE
    # Bytes that an echo reply, unpacked from GRE or not, has of the request's payload; filled
    # up with zeros to the request's length, and followed by others.
    echoed: Literal["full"] | Natural = "full"
    echo_filled: bool = False
    echo_tail: Natural = 0
    # Its ICMP errors, or all that is no error, leave through another address.
    errors_from: str = "target"
    replies_from: str = "target"


class Prober(Table, frozen=True, kw_only=True):
    """Where the probes come from."""

    address4: str = "192.0.2.1"
    address6: str = "2001:db8::1"


class Trace(Table, frozen=True, kw_only=True):
    """What is asked of the tracer; the words are the API's."""

    packet_types: tuple[kinds.ProbeType, ...] = tuple(map(kinds.ProbeType, kinds.Protocol))
    max_ttl: Annotated[int, Meta(ge=1, le=64)] = 15
    packets_per_ttl: Annotated[int, Meta(ge=1, le=10)] = 3
    wait_time: Annotated[int, Meta(ge=1, le=5)] = 1
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    multipath: bool = False
    # So many traces in one agent, each begun when the one before has ended; all rows are expected.
    times: Positive = 1


class SendFailure(Table, frozen=True, kw_only=True):
    """The prober's own host refuses to send a probe."""

    errno: Literal["EPERM", "ENOBUFS", "EHOSTUNREACH", "ENETUNREACH", "EMSGSIZE"]
    # Absent: every TTL, every probe.
    ttl: Positive | None = None
    ordinal: Natural | None = None


class ExpectNode(Table, frozen=True, kw_only=True):
    """One address of a hop, as the answer must show it."""

    source: str = field(name="from")
    # Absent: the hop's packets_per_ttl.
    packets: Span | None = None
    labels: tuple[str, ...] = ()
    # IPv6 has other codes and options; absent: the same as in IPv4.
    labels6: tuple[str, ...] | None = None
    # Absent: what the router's rtt_ms, jitter_ms and delays_ms say.
    rtt_ms: tuple[Milliseconds, Milliseconds] | None = None


class ExpectHop(Table, frozen=True, kw_only=True):
    """One TTL of the answer."""

    nodes: tuple[ExpectNode, ...] = ()
    # Absent: packets_per_ttl.
    sent: Span | None = None
    # Absent: whatever was sent and is not in a node.
    lost: Span | None = None


class ExpectLink(Table, frozen=True, kw_only=True):
    """What connects nodes at `ttl` and the next TTL: all addresses of both names, branch by branch
    where they have as many."""

    ttl: Positive
    source: str = field(name="from")
    to: str
    # How many flows went by each; absent: any.
    flows: Span | None = None


class ExpectNotice(Table, frozen=True, kw_only=True):
    """A notice: the name of its code, and its TTLs; absent: whichever."""

    code: str
    ttls: tuple[int, ...] | None = None


class Expect(Table, frozen=True, kw_only=True):
    """What a correct trace says, as the API would state it.

    `hops` is the whole list, TTL 1 first. A string is a hop where every probe was answered by that
    node; `"-"` is a hop where nothing answered. Of a multipath trace a name stands for each of its
    addresses, and a node's `packets` for nothing.
    """

    hops: tuple[str | ExpectHop, ...]
    reached: bool = True
    # The N of the row's error; 0: none.
    error_code: Annotated[int, Meta(ge=0, le=4)] = 0
    duration_ms: tuple[Milliseconds, Milliseconds] | None = None
    # Answers come that no tracer may count, for they do not show enough of the probe: one that
    # knows everything would see more.
    less_than_all: bool = False
    # Packets of all traces by fate, once all have arrived.
    counters: dict[Literal["late", "duplicate", "foreign", "ambiguous"], Span] = field(
        default_factory=dict
    )
    # Of a multipath trace; absent: all that the network has between routers that answer.
    links: tuple[ExpectLink, ...] | None = None
    # Of a multipath trace: all its notices.
    notices: tuple[ExpectNotice, ...] = ()
    # Probes of the last trace beyond the TTL of the target, and one by one of its TTLs at most.
    beyond_target: Span | None = None


class Case(Table, frozen=True, kw_only=True):
    """One scenario file."""

    name: str
    # What it shows, and which rule of the field it stands for.
    shows: str
    families: tuple[Family, ...] = (4, 6)
    prober: Prober = Prober()
    trace: Trace = Trace()
    hops: tuple[Hop, ...] = ()
    target: Target = Target()
    # Routers that answer at TTLs beyond the target's, the first at the next one.
    after_target: tuple[Hop, ...] = ()
    send_failures: tuple[SendFailure, ...] = ()
    expect: Expect

    @property
    def target_ttl(self) -> int:
        """The TTL at which a packet gets to the target."""
        return len(self.hops) + 1
