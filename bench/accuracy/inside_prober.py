"""The agent's prober in the responder's namespace, running one trace after another.

Run by `engine.Colotrace` through `driver.Driver`. Each request is a number of traces with one probe
for each TTL. The answer has the replies of each trace, and its start and end on the monotonic
clock, by which its records are found. Engine, sockets and matching are those of `colotrace-agent
run`.
"""

import asyncio
import json
import socket
import sys
import time
from typing import Any

from colotrace_agent.model import TraceSpec
from colotrace_agent.prober import Prober, open_prober
from colotrace_proto.messages import PacketType

# Far above the rate of sending, so that no budget delays a trace.
_RATE = 100_000


async def traces(prober: Prober, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the requested traces, with a pause before each."""
    address = asked["target"]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    spec = TraceSpec(
        target=socket.inet_pton(family, address),
        packet_type=PacketType(asked["packet_type"]),
        max_ttl=asked["max_ttl"],
        packets_per_ttl=1,
        wait_ns=500_000_000,
    )
    told = []
    for _ in range(asked["times"]):
        await asyncio.sleep(asked["pause_s"])
        ended = asyncio.Event()
        began = time.monotonic_ns()
        trace = prober.start(
            spec, lambda changed, ended=ended: changed.ended is not None and ended.set()
        )
        await ended.wait()
        replies = [(reply.ttl, reply.rtt_ns) for reply in trace.replies]
        told.append({"began": began, "ended": time.monotonic_ns(), "replies": replies})
    return told


async def main() -> None:
    """Handle requests until the input ends."""
    prober = open_prober(rate=_RATE)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)
    try:
        while line := await lines.readline():
            told = await traces(prober, json.loads(line))
            print(json.dumps({"traces": told}), flush=True)
    finally:
        prober.close()


if __name__ == "__main__":
    asyncio.run(main())
