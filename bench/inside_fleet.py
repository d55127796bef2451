"""Many agents in one process, with simulated traces that take no time.

Run by `driver.Driver.fleet`. Each agent has its own connections to a coordinator or a broker, by
the agent's links; only the jobs are simulated. A job is accepted, and reported in one frame as 15
hops with 3 replies each.
"""

import argparse
import asyncio
import ipaddress
import json
import logging
import secrets
import sys
import time

import structlog
import uvloop
from colotrace_agent.job.admission import Jobs
from colotrace_agent.job.shell import Emit
from colotrace_agent.link.mqtt import MqttLink
from colotrace_agent.link.session import Identity
from colotrace_agent.link.stream import Stream
from colotrace_proto.bus import broker_of
from colotrace_proto.messages import (
    Accepted,
    AgentId,
    ColoName,
    Counters,
    Failure,
    Family,
    Frame,
    Job,
    JobId,
    Node,
    NodeKind,
    Outcome,
    PacketType,
    RefusalReason,
    Refused,
    Replies,
    UnknownJob,
)
from colotrace_proto.running import RunningClock

_HOPS, _PER_TTL = 15, 3
# The path of the places with delays, whose routers have names: hop 1 at 2 ms, the target at 32 ms.
_ROUTERS = tuple(Node(ipaddress.IPv4Address(f"198.18.{ttl}.1").packed) for ttl in range(1, _HOPS))
_RTT_NS = tuple((2 + 30 * hop // (_HOPS - 1)) * 1_000_000 for hop in range(_HOPS))
_NODES = tuple(hop for hop in range(_HOPS) for _ in range(_PER_TTL))
_DONE = Outcome(Failure.NONE, duration_ns=_RTT_NS[-1])


class AtOnce(Jobs):
    """Jobs that are accepted, and end in the loop's next turn."""

    def __init__(self) -> None:
        # `Jobs.__init__` is not called: there is no prober.
        self.draining = False
        self.taken = 0

    def __len__(self) -> int:
        return 0

    def counters(self) -> Counters:
        """All zero."""
        return Counters()

    def take(
        self,
        job: Job | UnknownJob,
        emit: Emit,
        *,
        ready: object = None,  # noqa: ARG002 - there is no progress
    ) -> Accepted | Refused:
        """Accept the job."""
        if isinstance(job, UnknownJob):
            return Refused(job.job_id, RefusalReason.UNSUPPORTED, job.notice)
        self.taken += 1
        # The frame must come after Accepted.
        asyncio.get_running_loop().call_soon(emit, _traced(job))
        return Accepted(job.job_id)

    def acknowledged(self, job_id: JobId) -> None:
        """Do nothing: no job waits for it."""

    def cancel(self, job_id: JobId) -> None:
        """Do nothing: the job has ended."""


def _traced(job: Job) -> Frame:
    target = ipaddress.ip_address(job.target).packed
    replies = Replies(
        ttl=tuple(hop + 1 for hop in _NODES),
        rtt_ns=tuple(_RTT_NS[hop] for hop in _NODES),
        node=_NODES,
        nodes=(*_ROUTERS, Node(target, NodeKind.TARGET)),
    )
    return Frame(job.job_id, 1, target, (_PER_TTL,) * _HOPS, replies, _DONE)


def _identity(colo: str, number: int) -> Identity:
    return Identity(
        agent_id=AgentId(f"{colo}-{number}"),
        boot_id=secrets.token_bytes(16),
        colo=ColoName(colo),
        city="Singapore, SG",
        families=frozenset({Family.IPV4}),
        packet_types=frozenset(PacketType),
        software_version="bench",
        max_jobs=10_000,
    )


def _link(asked: argparse.Namespace, identity: Identity, jobs: Jobs) -> Stream | MqttLink:
    clock = RunningClock()
    if asked.coordinator:
        return Stream(asked.coordinator, identity, jobs, tls=None, clock=clock)
    return MqttLink(broker_of(asked.mqtt), identity, jobs, broker_tls=None, tls=None, clock=clock)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--coordinator", help="HOST:PORT of its gRPC")
    where.add_argument("--mqtt", help="the broker's URL")
    parser.add_argument("--each", type=int, default=2, help="agents of a colo")
    parser.add_argument("colos", nargs="+")
    return parser.parse_args()


async def main() -> None:
    """Stay attached, and answer each request with the job counts, until the input ends."""
    asked = _arguments()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    loop = asyncio.get_running_loop()
    fleet = [
        (identity := _identity(colo, number), jobs := AtOnce(), _link(asked, identity, jobs))
        for colo in asked.colos
        for number in range(asked.each)
    ]
    links = [
        asyncio.create_task(link.run(), name=f"link of {identity.agent_id}")
        for identity, _, link in fleet
    ]
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)
    while await lines.readline():
        taken = [jobs.taken for _, jobs, _ in fleet]
        told = {"taken": taken, "cpu_ms": time.process_time() * 1e3}
        print(json.dumps(told), flush=True)
    for task in links:
        task.cancel()
    await asyncio.gather(*links, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main())
