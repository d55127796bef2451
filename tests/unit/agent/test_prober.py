"""A prober's turns on the event loop, over a wire that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from colotrace_agent.engine.engine import Engine
from colotrace_agent.model import Flow, Probe, TraceSpec
from colotrace_agent.network import clock
from colotrace_agent.prober import Prober
from colotrace_proto.messages import MAX_PACKETS_PER_TTL, MAX_TTL, PacketType
from unit.agent.made import SOURCE, TARGET

SEND_S = 0.001
TRACES = 20


class SlowWire:
    """Sends take time, nothing is heard, and whatever else is asked has no effect."""

    def __init__(self) -> None:
        self.read_until = clock.now()
        self.drained = True
        self.malformed = 0
        self.batches = 0
        self.now_s = 0.0

    def source_for(self, _: bytes) -> bytes:
        return SOURCE

    def routed(self, flow: Flow) -> Flow:
        return flow

    def route_may_differ(self, _: Flow) -> bool:
        return False

    def reserve(self, *_: object) -> bool:
        return True

    def open(self, *_: object) -> None:
        pass

    def stamps(self) -> list[object]:
        return []

    def receive(self) -> list[object]:
        return []

    def overflows(self) -> int:
        return 0

    def send(self, packets: Sequence[tuple[Probe, bytearray]]) -> list[tuple[Probe, int, int]]:
        self.batches += 1
        self.now_s += SEND_S * len(packets)
        return [(probe, self.read_until, 0) for probe, _ in packets]


async def test_event_loop_runs_between_two_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of probes are due: after a slow batch the event loop is free for an offer."""
    loop = asyncio.get_running_loop()
    wire = SlowWire()
    monkeypatch.setattr(loop, "time", lambda: wire.now_s)
    engine = Engine(rate=1e9, flow_secret=bytes(32))
    prober = Prober(wire, engine)  # type: ignore[arg-type]
    spec = TraceSpec(
        target=TARGET,
        packet_type=PacketType.UDP,
        max_ttl=MAX_TTL,
        packets_per_ttl=MAX_PACKETS_PER_TTL,
        wait_ns=10**9,
    )
    for _ in range(TRACES):
        prober.start(spec, lambda _: None)
    batches = []
    for _ in range(4):
        await asyncio.sleep(0)  # one turn of the event loop
        batches.append(wire.batches)
    assert batches == [1, 2, 3, 4]
