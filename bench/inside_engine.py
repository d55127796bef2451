"""A running engine in a namespace: the agent's prober and jobs, without a coordinator.

Run by `driver.Driver.engine`. Each request is one trace. The answer has the time from admission of
the job to its last frame, and the CPU time of this process. Packet budgets and the garbage
collector are as in the agent.
"""

import asyncio
import json
import sys
import time
from typing import Any

from colotrace_agent.host.resolve import Resolver
from colotrace_agent.job.admission import Jobs
from colotrace_agent.job.shell import Progress
from colotrace_agent.packets.formats import PACKET_TYPES
from colotrace_agent.prober import open_prober
from colotrace_proto.messages import Accepted, Frame, Job, JobId, PacketType

_JOB_MS = 25_000


class Engine:
    """The parts of `colotrace-agent run`, except the link."""

    def __init__(self) -> None:
        prober = open_prober()
        self._jobs = Jobs(
            prober, Resolver(), packet_types=PACKET_TYPES, max_jobs=1_000, allow_private=True
        )
        self._number = 0

    async def trace(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Run one trace."""
        self._number += 1
        job = Job(
            job_id=JobId(f"bench-{self._number}"),
            target=asked["target"],
            packet_type=PacketType(asked["packet_type"]),
            max_ttl=asked["max_ttl"],
            packets_per_ttl=asked["packets_per_ttl"],
            wait_ms=asked["wait_ms"],
            port=0,
            flow=0,
            remaining_ms=_JOB_MS,
        )
        frames: list[Frame] = []
        last = asyncio.Event()

        def end(frame: Frame) -> None:
            frames.append(frame)
            last.set()

        def ready(progress: Progress) -> None:
            frame = progress()
            if frame is not None:
                frames.append(frame)

        cpu, began = time.process_time_ns(), time.perf_counter_ns()
        verdict = self._jobs.take(job, end, ready=ready)
        if not isinstance(verdict, Accepted):
            return {"error": f"the engine refuses the job: {verdict}"}
        await last.wait()
        wall_ns = time.perf_counter_ns() - began
        cpu_ns = time.process_time_ns() - cpu
        rtts = [rtt for frame in frames for rtt in frame.replies.rtt_ns]
        return {
            "wall_ms": wall_ns / 1e6,
            "cpu_ms": cpu_ns / 1e6,
            "replies": len(rtts),
            "longest_rtt_ms": max(rtts, default=0) / 1e6,
            "frames": len(frames),
        }


async def main() -> None:
    """Handle requests until the input ends."""
    engine = Engine()
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)
    while line := await lines.readline():
        print(json.dumps(await engine.trace(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
