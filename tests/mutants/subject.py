"""What is mutated: the true replies of a simulated world to the probes of a real flow."""

import functools
from dataclasses import dataclass

from colotrace_agent.engine.engine import Engine
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import Flow, Heard, TraceSpec
from colotrace_agent.packets.formats import writer_for
from colotrace_proto.messages import PacketType
from scenario import wire
from scenario.addresses import packed
from scenario.kinds import Protocol
from scenario.load import parse
from scenario.schema import Case, Family
from scenario.world import World

from mutants.layout import error_at

NOW = 1_000_000_000
_PROBES = 12

# Routers differ in what they do to a quote, as far as a tracer is to bear it.
_VARIANTS = (
    "",
    'quoted_id = "swapped"',
    'quoted_id = "plus-one"',
    'nat = "source"',
    "inner_options = true",
    'quoted_headers = ["fragment", "destination"]',
    "quoted_tos = 72, quoted_ttl = 3",
    'refuse = "admin-prohibited", refused = "expiring"',
    'quoted_id = "minus-one"',
    'quoted_id = "zero"',
)
_EXTENSION = (
    "extension = { mpls = [{ label = 16001, ttl = 3 }], "
    'interfaces = [{ index = 7, address = "192.0.2.77", name = "ge-0/0/1", mtu = 1500 }] }'
)
QUOTES = ("8", "128", "full", "direct")
"""Bytes quoted beyond the IP header: 8; as RFC 4884 asks for, with extensions behind them; all.
Or nothing quoted: the target's own answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of true reply. `lone`: only one probe is open, as what names none must have it."""

    packet_type: PacketType
    family: Family
    quote: str

    @property
    def lone(self) -> bool:
        """Whether answers of that kind name a probe only where there is but one."""
        if self.packet_type is PacketType.GRE:
            return (self.quote, self.family) == ("8", 6)
        return self.packet_type is PacketType.UDP and self.quote == "direct"

    def __str__(self) -> str:
        return f"{self.packet_type} IPv{self.family} {self.quote}"


FAMILIES: tuple[Family, ...] = (4, 6)
KINDS = tuple(
    Kind(PacketType(protocol), family, quote)
    for protocol in Protocol
    for family in FAMILIES
    for quote in QUOTES
)


class Subject:
    """A trace of one kind, all of whose probes are out, and the true replies to them.

    `probes` are the packets as they left, by ordinal; `replies` those that came back. There is
    one probe a TTL, so that a reply's TTL tells which probe it counted for.
    """

    def __init__(self, kind: Kind, *, secret: bytes) -> None:
        self.kind = kind
        self.probes: list[bytes] = []
        self.replies: list[bytes] = []
        case = _case(kind)
        world = World(case, family=kind.family)
        self.spec = TraceSpec(
            packed(world.addresses.target),
            kind.packet_type,
            max_ttl=case.trace.max_ttl,
            packets_per_ttl=1,
        )
        source = packed(world.addresses.prober)
        engine = Engine(rate=1e9, secret=secret)
        self.flow: Flow = engine.identities.allocate(
            self.spec, source, reserve=lambda _: True, now=NOW
        )
        writer = writer_for(self.flow)
        for ordinal in range(self.spec.max_ttl):
            probe = bytes(writer.write(ordinal, ordinal + 1))
            if kind.family == 4:
                probe = wire.with_header_checksum(probe[:20]) + probe[20:]
            self.probes.append(probe)
            came = [delivery.packet for delivery in world.deliver(probe, NOW)]
            self.replies += [each for each in came if _is_error(each) != (kind.quote == "direct")]
        self.begin()

    def begin(self) -> None:
        """Traces the same flow anew: every probe is open again."""
        self._engine = Engine(rate=1e9, secret=bytes(32))
        self.trace: Trace = self._engine.start(self.spec, self.flow, now=NOW)
        while sent := self._engine.poll(NOW, most=64):
            for probe in sent:
                self._engine.sent(probe, at=NOW)

    def hear(self, heard: Heard) -> int | None:
        """Which probe the engine counts that for, None for none."""
        self._engine.heard(heard, at=NOW + 1, read_at=NOW + 1)
        # A refusal that may be the target's is a reply at the end only.
        answered = filter(self.trace.is_answered, range(self.trace.taken))
        return next(answered, None)


def _is_error(packet: bytes) -> bool:
    return error_at(packet) is not None


@functools.cache
def _case(kind: Kind) -> Case:
    """The network: routers of every variant, and a target."""
    hops = [_answerer(kind, place, variant) for place, variant in enumerate(_VARIANTS)]
    if kind.lone:
        hops = hops[:1] if kind.quote != "direct" else []
    if kind.quote == "direct":
        target = 'udp = "reply", tcp = "syn-ack", gre = "reply-in-gre"'
    else:
        target = _answerer(kind, 0, "")
    text = f"""
        shows = "true replies"
        hops = [{", ".join(f"{{ {hop} }}" for hop in hops)}]
        target = {{ {target} }}
        trace = {{ max_ttl = {1 if kind.lone else _PROBES} }}
        expect = {{ hops = [], reached = false }}
    """
    return parse(text, name=str(kind))


def _answerer(kind: Kind, place: int, variant: str) -> str:
    words = [variant] if variant else []
    if kind.quote == "8" or (kind.quote == "128" and place % 2):
        words.append("quote = 8")
    if kind.quote == "128":
        words.append(_EXTENSION)
    return ", ".join(words)
