"""A probe host in virtual time: real jobs, engine and packets against simulated worlds.

It stands in for `colotrace_agent.prober` and `colotrace_agent.job.shell`, which do the same with
sockets and timers, turn by turn. It also does the kernel's part: the IPv4 header's checksum, and a
reset for a SYN-ACK without a connection. The clock moves only once nothing is left to do at its
present time.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from colotrace_agent.engine.engine import Engine
from colotrace_agent.engine.limits.shares import Share
from colotrace_agent.engine.trace import Trace
from colotrace_agent.job.machine import JobMachine
from colotrace_agent.model import FlowKey, Heard, Probe, TraceSpec, Unheard
from colotrace_agent.packets.decode import decode as decode_packet
from colotrace_agent.packets.formats import BY_PROTOCOL, writer_for
from colotrace_agent.packets.probe import Writer
from colotrace_proto import messages
from colotrace_proto.messages import Family, Frame, JobId, Owner

from scenario import wire
from scenario.addresses import packed
from scenario.clockwork import Agenda
from scenario.probe import ACK, RST, SYN
from scenario.world import World

START_NS = 5_000_000_000
_SEND_NS = 10_000
_MOST = 64


@dataclass(slots=True)
class Job:
    """A job's machine, its traces, its frames, and when its probes left."""

    machine: JobMachine
    traces: list[Trace] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    sent_at: list[int] = field(default_factory=list)
    share: Share[Trace] = field(default_factory=Share)
    report_at_ns: int | None = None

    @property
    def deadline_ns(self) -> int:
        """When its time ends."""
        return math.ceil(self.machine.deadline * 1e9)

    @property
    def ended(self) -> bool:
        """Whether its last frame is out."""
        return bool(self.frames) and self.frames[-1].outcome is not None


class VirtualHost:
    """Traces the targets of its worlds, of one family, which must all differ."""

    def __init__(
        self, worlds: Sequence[World], *, rate: float | None = None, seed: int = 0
    ) -> None:
        self.now = START_NS
        self.engine = Engine(rate=rate, secret=random.Random(seed).randbytes(32))
        self.unheard: list[Unheard] = []
        self.jobs: list[Job] = []
        self._worlds = {packed(world.addresses.target): world for world in worlds}
        self._agenda = Agenda()
        self._writers: dict[FlowKey, Writer] = {}
        self._by_flow: dict[FlowKey, Job] = {}

    def start(
        self,
        spec: TraceSpec,
        *,
        multipath: bool = False,
        within_s: float = 1e6,
        owner: Owner | None = None,
    ) -> Job:
        """Begin a job, which has so many seconds."""
        asked = messages.Job(
            job_id=JobId(str(len(self.jobs))),
            target=str(ip_address(spec.target)),
            packet_type=spec.packet_type,
            max_ttl=spec.max_ttl,
            packets_per_ttl=spec.packets_per_ttl,
            wait_ms=spec.wait_ns // 1_000_000,
            port=spec.port,
            flow=spec.flow,
            remaining_ms=round(within_s * 1e3),
            multipath=multipath,
        )
        job = Job(JobMachine(asked, now=self._now_s), share=Share(owner))
        job.machine.begin([spec.target])
        self._start_due(job)
        self.jobs.append(job)
        return job

    @property
    def _now_s(self) -> float:
        return self.now / 1e9

    def _start_due(self, job: Job) -> None:
        """Start the traces that are due; keep the last frame if that ended the job."""
        while specs := job.machine.due(self._now_s):
            for spec in specs:
                trace = self._start_trace(spec, job.share)
                job.machine.started(trace)
                job.traces.append(trace)
                self._by_flow[trace.flow.key] = job
        if job.machine.final is not None:
            job.frames.append(job.machine.final)
            job.report_at_ns = None

    def _start_trace(self, spec: TraceSpec, share: Share[Trace]) -> Trace:
        source = packed(self._worlds[spec.target].addresses.prober)
        flow = self.engine.identities.allocate(spec, source, reserve=lambda _: True, now=self.now)
        self._writers[flow.key] = writer_for(flow)
        return self.engine.start(spec, flow, now=self.now, share=share)

    def run(self, *, until: int | None = None, ended: Job | None = None) -> None:
        """Go on until everything has ended and arrived, or until that time or that job's end."""
        while until is None or self.now < until:
            self._receive()
            self.engine.expire(self.now)
            self._cut_short()
            self._tell()
            if ended is not None and ended.ended:
                return
            if not self._send():
                self._tell()
                times = [self._agenda.next_ns(), self.engine.next_deadline(self.now), until]
                for job in self.jobs:
                    if not job.ended:
                        times += [job.report_at_ns, job.deadline_ns]
                ahead = [at for at in times if at is not None]
                if not ahead:
                    return
                # An instant that passes with nothing done would pass for ever.
                assert min(ahead) > self.now
                self.now = min(ahead)

    def _cut_short(self) -> None:
        for job in self.jobs:
            if not job.ended and job.deadline_ns <= self.now:
                for trace in job.machine.cut_short(messages.Failure.DEADLINE):
                    self.engine.stop(trace, now=self.now)

    def _send(self) -> bool:
        probes = self.engine.poll(self.now, most=_MOST)
        for probe in probes:
            packet = self._packet(probe)
            world = self._worlds[probe.flow.target]
            error = world.send_error(packet)
            if error is not None:
                self.engine.failed(probe, error)
            else:
                self._agenda.add(world.deliver(packet, self.now))
                self.engine.sent(probe, at=self.now)
                self.engine.departed(probe, at=self.now)
                self._by_flow[probe.flow.key].sent_at.append(self.now)
            self.now += _SEND_NS
        return bool(probes)

    def _packet(self, probe: Probe) -> bytes:
        packet = bytes(self._writers[probe.flow.key].write(probe.ordinal, probe.ttl))
        return (
            packet if packet[0] >> 4 == 6 else wire.with_header_checksum(packet[:20]) + packet[20:]
        )

    def _receive(self) -> None:
        for delivery in self._agenda.due(self.now):
            heard = decode(delivery.packet)
            if isinstance(heard, Unheard):
                self.unheard.append(heard)
            else:
                self.engine.heard(heard, at=delivery.at_ns, read_at=self.now)
            for whole, target in reset_for(delivery.packet):
                self._worlds[target].deliver(whole, self.now)

    def _tell(self) -> None:
        changed, self.engine.changed = self.engine.changed, set()
        for trace in changed:
            if trace.ended is not None:
                self.engine.judge_limits(trace)
            job = self._by_flow[trace.flow.key]
            report_at = job.machine.changed(trace)
            if report_at is not None:
                job.report_at_ns = max(self.now, round(report_at * 1e9))
            if trace.ended is not None:
                self._start_due(job)
        for job in self.jobs:
            if job.report_at_ns is not None and job.report_at_ns <= self.now:
                job.report_at_ns = None
                frame = job.machine.progress(self._now_s)
                assert frame is not None
                job.frames.append(frame)


def reset_for(packet: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What the kernel answers a SYN-ACK with, that has no connection to go with it, and to whom."""
    four = packet[0] >> 4 == 4
    segment = packet[20:] if four else packet[40:]
    if packet[9 if four else 6] != wire.TCP or segment[13] & (SYN | ACK) != SYN | ACK:
        return
    ends = (packet[16:20], packet[12:16]) if four else (packet[24:40], packet[8:24])
    reset = bytearray(20)
    reset[0:2], reset[2:4], reset[4:8] = segment[2:4], segment[0:2], segment[8:12]
    reset[12], reset[13] = 5 << 4, RST
    pseudo = wire.pseudo_header(*ends, protocol=wire.TCP, length=20)
    reset[16:18] = wire.checksum(pseudo + reset).to_bytes(2)
    build = wire.ip4 if four else wire.ip6
    yield build(*ends, protocol=wire.TCP, payload=bytes(reset)), ends[1]


def decode(packet: bytes) -> Heard | Unheard:
    """Take the packet to where its socket would have led it."""
    four = packet[0] >> 4 == 4
    family, protocol = (Family.IPV4, packet[9]) if four else (Family.IPV6, packet[6])
    kind = BY_PROTOCOL[family, protocol].packet_type
    if four:
        return decode_packet(family, kind, packet)
    return decode_packet(family, kind, packet[40:], packet[8:24])
