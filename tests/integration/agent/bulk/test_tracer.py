"""The shell of the bulk engine over the host's own sockets."""

from __future__ import annotations

import asyncio

import pytest
from colotrace_agent.bulk.engine import BulkEngine
from colotrace_agent.bulk.tracer import BulkTracer
from colotrace_agent.model import TraceSpec
from colotrace_agent.network.sockets import open_all
from lab import enter

LOOPBACK = bytes([127, 0, 0, 1])


@pytest.mark.skipif("CAP_NET_RAW" in enter.missing_capabilities(), reason="needs CAP_NET_RAW")
async def test_error_in_a_turn_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised to the caller that waits for the turn, which would otherwise wait forever."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(BulkEngine, "expire", fail)
    spec = TraceSpec(target=LOOPBACK, max_ttl=1)
    tracer = BulkTracer(spec, open_all(), rate=None, tell=lambda _: None)
    try:
        tracer.start([LOOPBACK])
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(tracer.next_turn(), 30)
    finally:
        tracer.close()
