"""A forger who knows everything of a trace but the agent's secret, and sends the best he can."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import log2

from colotrace_agent.engine.engine import Engine
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import Flow, Heard, TraceSpec
from colotrace_agent.packets.checksum import checksum, ones_sum
from colotrace_agent.packets.decode import decode_icmp, decode_tcp_segment
from colotrace_proto.messages import PacketType

SOURCE, TARGET, ROUTER = bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9]), bytes([198, 18, 1, 1])
_NOW = 1_000_000_000
_PROTOCOLS = {PacketType.ICMP: 1, PacketType.UDP: 17, PacketType.TCP: 6, PacketType.GRE: 47}

Forge = Callable[[Flow, random.Random], Heard]


@dataclass(frozen=True, slots=True)
class Attack:
    """A way to forge, and how many bits of luck one packet needs, as docs/identity.md says."""

    name: str
    packet_type: PacketType
    forge: Forge
    bits: float
    port: int = 0


def probes() -> int:
    """How many probes the attacked trace has sent: the default."""
    return 45


def attacked(attack: Attack, *, secret: bytes) -> tuple[Engine, Trace]:
    """An engine with a trace all of whose probes are out."""
    engine = Engine(rate=1e9, secret=secret)
    spec = TraceSpec(TARGET, attack.packet_type, port=attack.port, wait_ns=5_000_000_000)
    flow = engine.allocate(spec, SOURCE, reserve=lambda _: True, now=_NOW)
    trace = engine.start(spec, flow, now=_NOW)
    while sent := engine.poll(_NOW, most=64):
        for probe in sent:
            engine.sent(probe, at=_NOW)
    return engine, trace


def campaign(attack: Attack, *, packets: int, seed: int) -> int:
    """How many of so many forged packets counted; each that does is met by a fresh trace."""
    rng = random.Random(seed)
    accepted = 0
    engine, trace = attacked(attack, secret=rng.randbytes(32))
    for _ in range(packets):
        heard = attack.forge(trace.flow, rng)
        engine.heard(heard, at=_NOW + 1, read_at=_NOW + 1)
        if trace.replies:
            accepted += 1
            engine, trace = attacked(attack, secret=rng.randbytes(32))
    return accepted


def _quoting(flow: Flow, transport: bytes, ip_id: int) -> Heard:
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(transport), ip_id, 0, 1, _PROTOCOLS[flow.packet_type], 0),
        flow.source,
        flow.target,
    )
    message = bytearray(bytes([11, 0, 0, 0, 0, 0, 0, 0]) + header + transport)
    message[2:4] = checksum(ones_sum(message)).to_bytes(2, "big")
    outer = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 1, 0, 60, 1, 0, ROUTER, flow.source
    )
    heard = decode_icmp(outer + bytes(message))
    assert isinstance(heard, Heard)
    return heard


def _header(flow: Flow, number: int) -> bytes:
    """The first 8 bytes of a probe with that number; the rest of them is no secret."""
    match flow.packet_type:
        case PacketType.ICMP:
            return struct.pack("!BBHHH", 8, 0, 0x1234, flow.identifier, number)
        case PacketType.UDP:
            return struct.pack("!HHHH", flow.identifier, flow.port, 24, number)
        case PacketType.TCP:
            return struct.pack("!HHI", flow.identifier, flow.port, number)
        case _:
            return struct.pack("!HHI", 0x2000, 0x0800, flow.identifier)


def short_quote(flow: Flow, rng: random.Random) -> Heard:
    """8 bytes: number and IP ID guessed."""
    bits = 32 if flow.packet_type is PacketType.TCP else 16
    return _quoting(flow, _header(flow, rng.getrandbits(bits)), rng.getrandbits(16) or 1)


def short_quote_of_known_number(flow: Flow, rng: random.Random) -> Heard:
    """8 bytes of an ICMP probe whose sequence the caller has fixed: the IP ID guessed."""
    return _quoting(flow, _header(flow, flow.first_number), rng.getrandbits(16) or 1)


def long_quote(flow: Flow, rng: random.Random) -> Heard:
    """The payload too: the tag guessed."""
    return _quoting(flow, _header(flow, rng.getrandbits(16)) + rng.randbytes(16), 1)


def reset(flow: Flow, rng: random.Random) -> Heard:
    """The target's own reset: the acknowledgement guessed."""
    number = rng.getrandbits(32)
    segment = struct.pack("!HHIIBBHHH", flow.port, flow.identifier, 0, number, 0x50, 0x14, 0, 0, 0)
    heard = decode_tcp_segment(segment, flow.target)
    assert isinstance(heard, Heard)
    return heard


_P = log2(probes())
ATTACKS = (
    Attack("ICMP, 8 bytes", PacketType.ICMP, short_quote, 30 - _P),
    Attack("ICMP with a port, 8 bytes", PacketType.ICMP, short_quote_of_known_number, 14, port=7),
    Attack("ICMP, whole", PacketType.ICMP, long_quote, 64 - _P),
    Attack("UDP, 8 bytes", PacketType.UDP, short_quote, 30 - _P),
    Attack("UDP, whole", PacketType.UDP, long_quote, 64 - _P),
    Attack("TCP, 8 bytes", PacketType.TCP, short_quote, 32 - _P),
    Attack("TCP, reset", PacketType.TCP, reset, 31 - _P),
    Attack("GRE, the key alone", PacketType.GRE, short_quote, 16 - _P),
)
