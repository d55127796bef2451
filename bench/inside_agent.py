"""A minimal coordinator in a namespace, with a `colotrace-agent run` attached to it.

Run by `driver.Driver.agent`; the arguments are more flags of the agent. A trace is timed from the
arrival of its Accepted to the arrival of its last frame, so the delay of the stream cancels out.
CPU time is that of the agent's whole process, including its stream.
"""

import asyncio
import ipaddress
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import grpc
from colotrace_proto import codec
from colotrace_proto.codec.batches import split_agent_batch
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Frame,
    FromCoordinator,
    Heartbeat,
    Job,
    JobId,
    PacketType,
    Refused,
    Welcome,
)
from colotrace_proto.notices import sentence
from colotrace_proto.v1 import fleet_pb2_grpc

_AGENT = Path(sys.executable).parent / "colotrace-agent"
_CPUCLOCK_SCHED = 2
# The interval that a coordinator sets.
_HEARTBEAT_MS = 10_000
_JOB_MS = 25_000
_WITHIN_S = 60


@dataclass(slots=True)
class Told:
    """State of a job; times in nanoseconds."""

    done: "asyncio.Future[Told]"
    asked: int = 0
    accepted: int = 0
    ended: int = 0
    replies: int = 0
    longest_ns: int = 0
    refused: str = ""
    notices: list[str] = field(default_factory=list)


class Coordinator(fleet_pb2_grpc.FleetServicer):
    """Serves one agent."""

    def __init__(self) -> None:
        self.attached = asyncio.Event()
        self.running = self.most_running = 0
        self._jobs: dict[JobId, Told] = {}
        self._numbers = itertools.count(1)
        self._context: Any = None
        self._flood: list[asyncio.Task[None]] = []
        self._calm = asyncio.Event()
        self._out: asyncio.Queue[tuple[FromCoordinator, Told | None]] = asyncio.Queue()

    async def Attach(  # type: ignore[override]  # noqa: N802 - the protocol's name
        self, _requests: Any, context: Any
    ) -> None:
        """The stream."""
        codec.decode_from_agent(await context.read())
        self._context = context
        await self._say(Welcome(b"bench" * 3 + b"!", _HEARTBEAT_MS))
        self.attached.set()
        tasks = [
            asyncio.create_task(self._beat(), name="heartbeats"),
            asyncio.create_task(self._write(), name="writer"),
        ]
        try:
            while (message := await context.read()) is not grpc.aio.EOF:
                now = time.perf_counter_ns()
                for part in split_agent_batch(message.SerializeToString()):
                    heard = codec.parse_from_agent(part)
                    if isinstance(heard, Accepted | Refused | Frame):
                        self._heard(heard, now)
        finally:
            for task in tasks:
                task.cancel()
            for job_id, told in list(self._jobs.items()):
                told.refused = "its stream has ended"
                self._end(job_id, told)

    async def trace(self, jobs: list[dict[str, Any]]) -> list[Told]:
        """Have the agent run these jobs concurrently, until all have ended."""
        loop = asyncio.get_running_loop()
        told = []
        for asked in jobs:
            job = _job(JobId(f"bench-{next(self._numbers)}"), asked)
            told.append(Told(loop.create_future()))
            self._jobs[job.job_id] = told[-1]
            self._out.put_nowait((job, told[-1]))
        async with asyncio.timeout(_WITHIN_S):
            return [await each.done for each in told]

    def flood(self, at_once: int, asked: dict[str, Any]) -> None:
        """Keep `at_once` jobs running, each to another target, until `calm`."""
        self._flood = [
            asyncio.create_task(self._keep(asked), name=f"flood {each}") for each in range(at_once)
        ]

    async def calm(self) -> None:
        """Stop starting jobs, and wait for the running ones."""
        flood, self._flood = self._flood, []
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        self._calm.clear()
        if self.running:
            await self._calm.wait()

    async def _keep(self, asked: dict[str, Any]) -> None:
        while True:
            await self.trace([asked | {"target": _stranger()}])

    def _heard(self, heard: Accepted | Refused | Frame, now: int) -> None:
        told = self._jobs.get(heard.job_id)
        if told is None:
            return
        if isinstance(heard, Accepted):
            told.accepted = now
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        elif isinstance(heard, Refused):
            told.refused = sentence(heard.notice) if heard.notice else heard.reason.name
            self._end(heard.job_id, told)
        else:
            told.replies += len(heard.replies.rtt_ns)
            told.longest_ns = max(told.longest_ns, *heard.replies.rtt_ns, 0)
            if heard.outcome is not None:
                told.ended = now
                told.notices = [sentence(notice) for notice in heard.outcome.notices]
                self.running -= 1
                if not self.running:
                    self._calm.set()
                self._end(heard.job_id, told)
                self._out.put_nowait((Ack(heard.job_id, heard.sequence), None))

    def _end(self, job_id: JobId, told: Told) -> None:
        del self._jobs[job_id]
        if not told.done.done():
            told.done.set_result(told)

    async def _write(self) -> None:
        """Write queued messages: a stream takes one at a time, and the reader must not wait."""
        while True:
            message, told = await self._out.get()
            if told is not None:
                told.asked = time.perf_counter_ns()
            await self._say(message)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_MS / 1e3)
            self._out.put_nowait((Heartbeat(), None))

    async def _say(self, message: FromCoordinator) -> None:
        await self._context.write(codec.encode_from_coordinator(message))


def _job(job_id: JobId, asked: dict[str, Any]) -> Job:
    return Job(
        job_id=job_id,
        target=asked["target"],
        packet_type=PacketType(asked["packet_type"]),
        max_ttl=asked["max_ttl"],
        packets_per_ttl=asked["packets_per_ttl"],
        wait_ms=asked["wait_ms"],
        port=0,
        flow=0,
        remaining_ms=_JOB_MS,
    )


def _stranger() -> str:
    """A random address of 10.0.0.0/8, which was probably not traced before."""
    return str(ipaddress.IPv4Address(0x0A000000 | random.getrandbits(24)))


class Agent:
    """The operations of the helper."""

    def __init__(self, coordinator: Coordinator, pid: int, log: BinaryIO) -> None:
        self._coordinator = coordinator
        self._pid = pid
        self._log = log

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Handle one request."""
        match asked.pop("do", "trace"):
            case "pid":
                return {"pid": self._pid}
            case "flood":
                self._coordinator.flood(asked.pop("at_once"), asked)
                return {}
            case "calm":
                await self._coordinator.calm()
                return {"most_running": self._coordinator.most_running}
            case _:
                return await self._trace(asked)

    async def _trace(self, asked: dict[str, Any]) -> dict[str, Any]:
        before = _cpu_ns(self._pid)
        self._coordinator.most_running = self._coordinator.running
        jobs = [asked | {"target": each} for each in asked.pop("targets", [asked.get("target")])]
        told = await self._coordinator.trace(jobs)
        cpu_ns = _cpu_ns(self._pid) - before
        refused = [each.refused for each in told if each.refused]
        if refused:
            self._log.seek(0)
            words = self._log.read().decode(errors="replace")[-500:]
            return {"error": f"{len(refused)} jobs were refused: {refused[0]}; {words}"}
        return {
            "wall_ms": max((each.ended - each.accepted) / 1e6 for each in told),
            "from_asked_ms": max((each.ended - each.asked) / 1e6 for each in told),
            "cpu_ms": cpu_ns / 1e6,
            "replies": sum(each.replies for each in told),
            "longest_rtt_ms": max(each.longest_ns for each in told) / 1e6,
            "most_running": self._coordinator.most_running,
            "notices": sorted({notice for each in told for notice in each.notices}),
        }


def _cpu_ns(pid: int) -> int:
    return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED)


async def main() -> None:
    """Handle requests until the input ends."""
    coordinator = Coordinator()
    server = grpc.aio.server()
    fleet_pb2_grpc.add_FleetServicer_to_server(coordinator, server)
    where = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    log = tempfile.TemporaryFile()  # noqa: SIM115 - it ends with this process
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        [
            *("setpriv", "--pdeathsig", "KILL", _AGENT, "run", "--coordinator", where),
            *("--colo", "sin01", "--city", "Singapore, SG", "--agent-id", "bench-a"),
            *("--insecure", "--allow-private", *sys.argv[1:]),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    try:
        await asyncio.wait_for(coordinator.attached.wait(), _WITHIN_S)
        agent = Agent(coordinator, process.pid, log)
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader(limit=1 << 22)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        print(json.dumps({"ready": True}), flush=True)
        while line := await lines.readline():
            try:
                told = await agent.do(json.loads(line))
            except TimeoutError:
                told = {"error": f"the agent has not ended its jobs within {_WITHIN_S} s"}
            print(json.dumps(told), flush=True)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
        await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
