"""The agent's jobs on real sockets: families and packet types of one case in one process.

Run inside a `tun.TunWorld` by `forked`. It prints one line of JSON a trace: the row, and the
counters of packets that did not count as answers. What the command line adds to this is shown by
the runs of `colotrace-agent trace` itself.
"""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

from colotrace_agent.host.resolve import Resolver
from colotrace_agent.job.shell import JobShell, Progress
from colotrace_agent.policy import Policy
from colotrace_agent.prober import Prober, open_prober
from colotrace_proto.messages import MAX_REMAINING_MS, Frame, Job, JobId, PacketType

from scenario.addresses import assign
from scenario.gather import row_of
from scenario.load import load

RATE = 5_000


async def trace(path: Path, families: list[str], packet_types: list[str]) -> list[dict[str, Any]]:
    """Trace the case in each family with each packet type, all at once, as often as it says."""
    case = load(path)
    asked = list(itertools.product(families, packet_types))
    prober, resolver = open_prober(rate=RATE), Resolver()
    try:
        jobs = [
            Job(
                job_id=JobId(f"{packet_type} {family}"),
                target=assign(case, family=6 if family == "6" else 4).target,
                packet_type=PacketType(packet_type),
                max_ttl=case.trace.max_ttl,
                packets_per_ttl=case.trace.packets_per_ttl,
                wait_ms=case.trace.wait_time * 1000,
                port=case.trace.port,
                flow=0,
                remaining_ms=MAX_REMAINING_MS,
                multipath=case.trace.multipath,
            )
            for family, packet_type in asked
        ]
        lines = []
        for _ in range(case.trace.times):
            told = await asyncio.gather(*(_run(job, prober, resolver) for job in jobs))
            lines += [
                {
                    "family": int(family),
                    "packet_type": packet_type,
                    "row": row_of(
                        frames,
                        packet_type=PacketType(packet_type),
                        multipath=case.trace.multipath,
                    ),
                    "counted": _counted(frames),
                    "foreign": prober.counters().foreign,
                }
                for (family, packet_type), frames in zip(asked, told, strict=True)
            ]
        return lines
    finally:
        prober.close()
        await resolver.close()


async def _run(job: Job, prober: Prober, resolver: Resolver) -> list[Frame]:
    frames: list[Frame] = []
    ended = asyncio.Event()

    def end(frame: Frame) -> None:
        frames.append(frame)
        ended.set()

    def ready(progress: Progress) -> None:
        frame = progress()
        if frame is not None:
            frames.append(frame)

    policy = Policy(allow_private=True, families=lambda: prober.families)
    JobShell(job, prober=prober, resolver=resolver, policy=policy, ready=ready, end=end)
    await ended.wait()
    return frames


def _counted(frames: list[Frame]) -> dict[str, int]:
    outcome = frames[-1].outcome
    assert outcome is not None
    return {
        "duplicate": outcome.duplicates,
        "late": outcome.late,
        "foreign": outcome.foreign,
        "ambiguous": outcome.ambiguous,
    }


def main(path: str, families: str, packet_types: str) -> None:
    """Trace, and print; the lists have commas."""
    for line in asyncio.run(trace(Path(path), families.split(","), packet_types.split(","))):
        print(json.dumps(line))
