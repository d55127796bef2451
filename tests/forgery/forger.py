"""A forger who knows everything of a trace but the agent's secret, and sends the best he can."""

import dataclasses
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import log2

from colotrace_agent.engine.engine import Engine
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import Flow, Heard, TraceSpec
from colotrace_agent.packets.checksum import checksum, ones_sum
from colotrace_agent.packets.decode import decode_icmp
from colotrace_agent.packets.tcp import decode_tcp_segment
from colotrace_proto.messages import PacketType

SOURCE, TARGET, ROUTER = bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9]), bytes([198, 18, 1, 1])
_NOW = 1_000_000_000
_PACE_NS = 50_000
NATTED, INSIDE = bytes([198, 51, 100, 77]), bytes([10, 0, 0, 9])
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
    flow = engine.identities.allocate(spec, SOURCE, reserve=lambda _: True, now=_NOW)
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
    for number in range(packets):
        heard = attack.forge(trace.flow, rng)
        # No faster than the engine looks for what names no flow whole.
        engine.heard(heard, at=_NOW + 1, read_at=_NOW + 1 + number * _PACE_NS)
        if trace.replies:
            accepted += 1
            engine, trace = attacked(attack, secret=rng.randbytes(32))
    return accepted


def _quoting(
    flow: Flow,
    transport: bytes,
    ip_id: int,
    *,
    source: bytes | None = None,
    target: bytes | None = None,
    spoiled: bool = False,
) -> Heard:
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + len(transport), ip_id, 0, 1, _PROTOCOLS[flow.packet_type], 0),
        source or flow.source,
        target or flow.target,
    )
    message = bytearray(bytes([11, 0, 0, 0, 0, 0, 0, 0]) + header + transport)
    message[2:4] = (checksum(ones_sum(message)) ^ spoiled).to_bytes(2, "big")
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


def reset(flow: Flow, rng: random.Random, *, responder: bytes | None = None) -> Heard:
    """The target's own reset: the acknowledgement guessed."""
    number = rng.getrandbits(32)
    segment = struct.pack("!HHIIBBHHH", flow.port, flow.identifier, 0, number, 0x50, 0x14, 0, 0, 0)
    heard = decode_tcp_segment(segment, responder or flow.target)
    assert isinstance(heard, Heard)
    return heard


def reset_from_elsewhere(flow: Flow, rng: random.Random) -> Heard:
    """The same from another address, as if it were the target's, too."""
    return reset(flow, rng, responder=ROUTER)


def cut_echo(flow: Flow, rng: random.Random, *, responder: bytes | None = None) -> Heard:
    """An echo reply with two bytes of payload: these and the sequence guessed."""
    guessed = rng.getrandbits(16).to_bytes(2, "big") + rng.randbytes(2)
    message = bytearray(bytes(4) + flow.identifier.to_bytes(2, "big") + guessed)
    message[2:4] = checksum(ones_sum(message)).to_bytes(2, "big")
    who = responder or flow.target
    outer = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 30, 1, 0, 60, 1, 0, who, flow.source)
    heard = decode_icmp(outer + bytes(message))
    assert isinstance(heard, Heard)
    return heard


def cut_echo_from_elsewhere(flow: Flow, rng: random.Random) -> Heard:
    """The same from another address, as if it were the target's, too."""
    return cut_echo(flow, rng, responder=ROUTER)


def translated_short_quote(flow: Flow, rng: random.Random) -> Heard:
    """8 bytes from behind a translator that gave another source: number and IP ID guessed."""
    bits = 32 if flow.packet_type is PacketType.TCP else 16
    number, ip_id = rng.getrandbits(bits), rng.getrandbits(16) or 1
    return _quoting(_elsewhere(flow), _header(_elsewhere(flow), number), ip_id, source=NATTED)


def short_quote_to_elsewhere(flow: Flow, rng: random.Random) -> Heard:
    """8 bytes from behind a translator that gave another target: number and IP ID guessed."""
    bits = 32 if flow.packet_type is PacketType.TCP else 16
    number, ip_id = rng.getrandbits(bits), rng.getrandbits(16) or 1
    return _quoting(flow, _header(flow, number), ip_id, target=INSIDE)


def translated_long_quote(flow: Flow, rng: random.Random) -> Heard:
    """The payload too, both addresses and the identifier changed: the tag guessed."""
    transport = _header(_elsewhere(flow), rng.getrandbits(16)) + rng.randbytes(16)
    return _quoting(flow, transport, 1, source=NATTED, target=INSIDE)


def spoiled_short_quote(flow: Flow, rng: random.Random) -> Heard:
    """8 bytes in a message whose checksum is wrong: number and IP ID guessed."""
    header = _header(flow, rng.getrandbits(16))
    return _quoting(flow, header, rng.getrandbits(16) or 1, spoiled=True)


def _elsewhere(flow: Flow) -> Flow:
    """The flow as it is with the identifier or source port that a translator gave."""
    return dataclasses.replace(flow, identifier=61_001)


_P = log2(probes())
ATTACKS = (
    Attack("ICMP, 8 bytes", PacketType.ICMP, short_quote, 30 - _P),
    Attack("ICMP with a port, 8 bytes", PacketType.ICMP, short_quote_of_known_number, 14, port=7),
    Attack("ICMP, whole", PacketType.ICMP, long_quote, 64 - _P),
    Attack("UDP, 8 bytes", PacketType.UDP, short_quote, 30 - _P),
    Attack("UDP, whole", PacketType.UDP, long_quote, 64 - _P),
    Attack("TCP, 8 bytes", PacketType.TCP, short_quote, 32 - _P),
    Attack("TCP, reset", PacketType.TCP, reset, 31 - _P),
    Attack("TCP, reset from elsewhere", PacketType.TCP, reset_from_elsewhere, 31 - _P),
    Attack("ICMP, echo reply of 2 bytes", PacketType.ICMP, cut_echo, 32 - _P),
    Attack("ICMP, the same from elsewhere", PacketType.ICMP, cut_echo_from_elsewhere, 32 - _P),
    Attack("ICMP, 8 bytes translated", PacketType.ICMP, translated_short_quote, 30 - _P),
    Attack("UDP, 8 bytes translated", PacketType.UDP, translated_short_quote, 29 - _P),
    Attack("UDP, 8 bytes to elsewhere", PacketType.UDP, short_quote_to_elsewhere, 29 - _P),
    Attack("TCP, 8 bytes translated", PacketType.TCP, translated_short_quote, 32 - _P),
    Attack("TCP, 8 bytes to elsewhere", PacketType.TCP, short_quote_to_elsewhere, 32 - _P),
    Attack("UDP, whole, both translated", PacketType.UDP, translated_long_quote, 64 - _P),
    Attack("ICMP, 8 bytes, bad checksum", PacketType.ICMP, spoiled_short_quote, 30 - _P),
    Attack("GRE, the key to elsewhere", PacketType.GRE, short_quote_to_elsewhere, 16 - _P),
    Attack("GRE, the key alone", PacketType.GRE, short_quote, 16 - _P),
)
