"""Many simulated agents in one process: real links and certificates, simulated traces.

Started by `programs.Agents`. Each agent has a connection and a TLS certificate of its own, and uses
the agent's link to the coordinator. Only its jobs are simulated: a job ends as the
last `Behaviour` says, with one frame that has the path of `path`, or with two. One line of JSON for
each command and answer.
"""

import argparse
import asyncio
import ipaddress
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import uvloop
from colotrace_agent.job.admission import Jobs
from colotrace_agent.job.shell import Emit
from colotrace_agent.link.mqtt import MqttLink
from colotrace_agent.link.session import Identity
from colotrace_agent.link.stream import Stream
from colotrace_agent.link.tls import Tls
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
from colotrace_proto.mqtt import BrokerTls
from colotrace_proto.running import RunningClock

from .path import HOPS, PER_TTL, ROUTERS, RTT_MS

_ROUTERS = tuple(Node(ipaddress.IPv4Address(address).packed) for address in ROUTERS)
_RTT_NS = tuple(rtt_ms * 1_000_000 for rtt_ms in RTT_MS)
_NODES = tuple(hop for hop in range(HOPS) for _ in range(PER_TTL))
_TTLS = tuple(hop + 1 for hop in _NODES)
_REPLY_NS = tuple(_RTT_NS[hop] for hop in _NODES)
_DONE = Outcome(Failure.NONE, duration_ns=_RTT_NS[-1])


@dataclass(slots=True)
class Behaviour:
    """How jobs end. Times are in seconds after the offer."""

    report_after_s: float = 0.0
    """The job is accepted at once, and its first frame is sent after this time."""
    ends_after_s: float | None = None
    """If given, the first frame has one reply only, and a second one ends the job so much later."""
    late_targets: Collection[str] = ()
    """Jobs for these run, and are reported after `late_after_s` although they were cancelled."""
    late_after_s: float = 24.0
    silent_targets: Collection[str] = ()
    """Jobs for these are accepted and forgotten: the agent sends no heartbeats for them."""


class SimulatedJobs(Jobs):
    """Jobs that are always accepted."""

    def __init__(self, behaviour: Behaviour) -> None:
        # `Jobs.__init__` is not called: there is no prober.
        self.draining = False
        self.taken = 0
        self.reported_at = 0.0
        """On the machine's monotonic clock: when the last job was reported first."""
        self._behaviour = behaviour
        self._running: dict[JobId, asyncio.TimerHandle] = {}
        self._first: dict[JobId, Callable[[], None]] = {}
        self._late: set[JobId] = set()

    def __len__(self) -> int:
        return len(self._running)

    def counters(self) -> Counters:
        """All zero."""
        return Counters()

    def usage(self) -> None:
        """Unknown: many agents share one process."""

    def take(
        self,
        job: Job | UnknownJob,
        emit: Emit,
        *,
        ready: object = None,  # noqa: ARG002 - there is no progress
    ) -> Accepted | Refused:
        """Accept the job; its frame follows in a later turn of the loop."""
        if isinstance(job, UnknownJob):
            return Refused(job.job_id, RefusalReason.UNSUPPORTED, job.notice)
        self.taken += 1
        behaviour, loop = self._behaviour, asyncio.get_running_loop()
        if job.target not in behaviour.silent_targets:
            late = job.target in behaviour.late_targets
            after_s = behaviour.late_after_s if late else behaviour.report_after_s
            report = partial(self._report, job, emit)
            self._first[job.job_id] = report
            self._running[job.job_id] = loop.call_later(after_s, report)
            if late:
                self._late.add(job.job_id)
        return Accepted(job.job_id)

    def acknowledged(self, job_id: JobId) -> None:
        """Do nothing: no job waits for it."""

    def cancel(self, job_id: JobId) -> None:
        """Do not report the job, unless it is to be late."""
        if job_id not in self._late and (report := self._running.pop(job_id, None)) is not None:
            report.cancel()
            self._first.pop(job_id, None)

    def report(self, *, after_s: float) -> None:
        """Send the first frame of each job that waits to send it after this time instead."""
        for job_id, first in self._first.items():
            self._running[job_id].cancel()
            loop = asyncio.get_running_loop()
            self._running[job_id] = loop.call_later(after_s, first)

    async def finish(self, *, within_s: float) -> None:  # noqa: ARG002
        """Take no more jobs."""
        self.draining = True

    def _report(self, job: Job, emit: Emit) -> None:
        del self._first[job.job_id]
        ends_after_s = self._behaviour.ends_after_s
        if ends_after_s is None:
            self.reported_at = time.monotonic()
            self._end(job, emit)
            return
        first = Replies(_TTLS[:1], _REPLY_NS[:1], _NODES[:1], _ROUTERS[:1])
        end = partial(self._end, job, emit, reported=1)
        self._running[job.job_id] = asyncio.get_running_loop().call_later(ends_after_s, end)
        target = ipaddress.ip_address(job.target).packed
        self.reported_at = time.monotonic()
        emit(Frame(job.job_id, 1, target, (PER_TTL,) * HOPS, first))

    def _end(self, job: Job, emit: Emit, *, reported: int = 0) -> None:
        """Send the last frame, without the replies that were reported before."""
        del self._running[job.job_id]
        self._late.discard(job.job_id)
        target = ipaddress.ip_address(job.target).packed
        nodes = (*_ROUTERS, Node(target, NodeKind.TARGET))
        replies = Replies(_TTLS[reported:], _REPLY_NS[reported:], _NODES[reported:], nodes)
        sequence = 2 if reported else 1
        emit(Frame(job.job_id, sequence, target, (PER_TTL,) * HOPS, replies, _DONE))


def _identity(colo: str, number: int) -> Identity:
    return Identity(
        agent_id=AgentId(f"{colo}-{number}"),
        boot_id=secrets.token_bytes(16),
        colo=ColoName(colo),
        city="Singapore, SG",
        families=frozenset({Family.IPV4}),
        packet_types=frozenset(PacketType),
        software_version="load",
        max_jobs=10_000,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--coordinator", help="HOST:PORT of its gRPC")
    where.add_argument("--mqtt", help="the broker's URL")
    parser.add_argument("--authority", type=Path, help="PEM CA of the coordinator; else no TLS")
    parser.add_argument("--certificates", type=Path, help="folder with a pair for each agent")
    parser.add_argument("agents", nargs="+", metavar="COLO-NUMBER")
    return parser.parse_args()


async def _run(link: Stream | MqttLink) -> None:
    """Run the link; an exception, which would be a fault of the agent, ends the process."""
    try:
        await link.run()
    except Exception:  # noqa: BLE001 - whatever it is, agents must not vanish silently
        structlog.get_logger().exception("link failed")
        os._exit(1)


class Fleet:
    """The agents of this process."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.behaviour = Behaviour()
        self._jobs: list[SimulatedJobs] = []
        self._links: list[asyncio.Task[None]] = []
        self._streams: list[Stream] = []
        clock = RunningClock()
        for name in asked.agents:
            colo, _, number = name.rpartition("-")
            identity, jobs = _identity(colo, int(number)), SimulatedJobs(self.behaviour)
            tls = None
            if asked.authority:
                pair = asked.certificates / name
                tls = Tls(
                    certificate=pair.with_suffix(".pem"),
                    key=pair.with_suffix(".key"),
                    authority=asked.authority,
                )
            link: Stream | MqttLink
            if asked.coordinator:
                link = Stream(asked.coordinator, identity, jobs, tls=tls, clock=clock)
                self._streams.append(link)
            else:
                broker = broker_of(asked.mqtt)
                broker_tls = None
                if asked.authority:
                    broker_tls = BrokerTls(authority=asked.authority).context(broker)
                link = MqttLink(broker, identity, jobs, broker_tls=broker_tls, tls=tls, clock=clock)
            self._jobs.append(jobs)
            self._links.append(asyncio.create_task(_run(link), name=f"link of {name}"))

    def told(self) -> dict[str, object]:
        """Streams that are up, jobs taken so far, jobs that run, and when the last was reported."""
        return {
            "attached": sum(stream.down_s == 0 for stream in self._streams),
            "taken": sum(jobs.taken for jobs in self._jobs),
            "running": sum(map(len, self._jobs)),
            "reported_at": max(jobs.reported_at for jobs in self._jobs),
        }

    def report(self, *, after_s: float) -> None:
        """Let all agents send the first frames of their jobs after this time."""
        for jobs in self._jobs:
            jobs.report(after_s=after_s)

    async def close(self) -> None:
        """End the links."""
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)


async def _obey() -> None:
    """Stay attached and handle commands until the input ends."""
    asked = _arguments()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    fleet = Fleet(asked)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    print(json.dumps({"ready": True}), flush=True)
    while line := await lines.readline():
        told = json.loads(line)
        after_s = told.pop("report_in_s", None)
        for name, value in told.items():
            setattr(fleet.behaviour, name, value)
        if after_s is not None:
            fleet.report(after_s=after_s)
        print(json.dumps(fleet.told()), flush=True)
    await fleet.close()


def main() -> None:
    """Run until the input ends."""
    uvloop.run(_obey())


if __name__ == "__main__":
    main()
