"""A packet type that only this file knows is traced once it is registered.

Its probes have IP protocol 253 (RFC 3692) and 8 bytes: the flow's identifier and the number.
"""

import struct

import pytest
from colotrace_agent.engine.engine import Engine
from colotrace_agent.model import Flow, Heard, TraceSpec
from colotrace_agent.packets.decode import decode_icmp
from colotrace_agent.packets.format import Columns, Numbering, ProbeFormat, Quoted
from colotrace_agent.packets.formats import BY_PROTOCOL, FORMATS, writer_for
from colotrace_agent.packets.probe import Writer
from colotrace_agent.packets.scapy_built import BUILT
from colotrace_proto.messages import Family, NodeKind, PacketType

from scenario import wire
from scenario.answers import icmp

TOY = PacketType.GRE_ICMP
"""The only name without a record of its own: such traces send probes of two types."""
PROTOCOL = 253
NUMBERING = Numbering(1 << 32)
TOY_HEADER = struct.Struct("!II")
PROBER, TARGET = bytes([203, 0, 113, 9]), bytes([198, 51, 100, 3])
HOPS = [bytes([198, 51, 100, 1]), bytes([198, 51, 100, 2]), TARGET]


class ToyWriter(Writer):
    """Writes the toy's probes."""

    def write_flow(self, packet: bytearray) -> None:
        TOY_HEADER.pack_into(packet, self.transport, self.flow.identifier, 0)

    def write_probe(self, packet: bytearray, ordinal: int) -> None:
        number = NUMBERING.number(self.flow.first_number, ordinal)
        TOY_HEADER.pack_into(packet, self.transport, self.flow.identifier, number)


def quoted_toy(transport: bytes, family: Family) -> Quoted:
    """Identity of a quoted probe."""
    identifier, number = TOY_HEADER.unpack_from(transport)
    return Quoted(identifier, 0, number)


FORMAT = ProbeFormat(
    packet_type=TOY,
    protocols=dict.fromkeys(Family, PROTOCOL),
    writer=ToyWriter,
    quoted=quoted_toy,
    numbering=NUMBERING,
    identifiers=range(1, 1 << 32),
    columns=dict.fromkeys(Family, Columns(slice(4, 8), None, slice(0, 0), slice(0, 4))),
    number_suffices=True,
)


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record and the template, as `formats` and `make templates` would enter them."""
    template = wire.ip4(bytes(4), bytes(4), protocol=PROTOCOL, payload=bytes(TOY_HEADER.size))
    monkeypatch.setitem(FORMATS, TOY, FORMAT)
    monkeypatch.setitem(BY_PROTOCOL, (Family.IPV4, PROTOCOL), FORMAT)
    monkeypatch.setitem(BUILT, (TOY, Family.IPV4), template)


def answer_to(packet: bytes, ttl: int) -> Heard:
    """What the hop at that TTL answers: time exceeded; the target, protocol unreachable."""
    hop = HOPS[min(ttl, len(HOPS)) - 1]
    kind, code = (3, 2) if hop == TARGET else (11, 0)
    quote = packet[:8] + b"\1" + packet[9:]
    message = icmp(bytes([kind, code, *bytes(6)]) + quote, source=hop, destination=PROBER)
    heard = decode_icmp(wire.ip4(hop, PROBER, protocol=wire.ICMP, payload=message))
    assert isinstance(heard, Heard)
    return heard


@pytest.mark.usefixtures("_registered")
def test_registered_type_is_traced_to_its_target() -> None:
    """Allocation, pacing, packets, decoding, matching and ends need nothing but the record."""
    engine, now = Engine(secret=bytes(32)), 1_000_000_000
    spec = TraceSpec(TARGET, TOY, max_ttl=8, packets_per_ttl=2, wait_ns=10**9)
    flow: Flow = engine.identities.allocate(spec, PROBER, reserve=lambda _: True, now=now)
    trace, writer = engine.start(spec, flow, now=now), writer_for(flow)
    while trace.ended is None:
        for probe in engine.poll(now, most=64):
            packet = bytes(writer.write(probe.ordinal, probe.ttl))
            engine.sent(probe, at=now)
            engine.departed(probe, at=now)
            engine.heard(answer_to(packet, probe.ttl), at=now + 1_000, read_at=now + 1_000)
        now = max(engine.next_deadline(now) or 0, now + 2_000)
        engine.expire(now)
    found = {(reply.ttl, reply.address, reply.kind) for reply in trace.replies if reply.ttl <= 3}
    kinds = [NodeKind.TRANSIT, NodeKind.TRANSIT, NodeKind.TARGET]
    assert found == set(zip((1, 2, 3), HOPS, kinds, strict=True))
    assert trace.reached
    assert trace.end_ttl == len(HOPS)
