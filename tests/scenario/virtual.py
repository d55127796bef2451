"""A probe host in virtual time: the real engine, packets and reports against simulated worlds.

It does what `colotrace_agent.prober` does with sockets, turn by turn, and what the host's kernel
does besides: the IPv4 header's checksum, and a reset for a SYN-ACK that nobody asked for. The
clock moves only where nothing is left to do at its present time.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from colotrace_agent.engine.engine import Account, Engine
from colotrace_agent.engine.multipath.several import Several, specs_of
from colotrace_agent.engine.notices import notices
from colotrace_agent.engine.trace import Trace
from colotrace_agent.job.frames import Report
from colotrace_agent.model import FlowKey, Heard, Probe, TraceSpec, Unheard
from colotrace_agent.packets.decode import (
    decode_icmp,
    decode_icmp6,
    decode_tcp,
    decode_tcp_segment,
    decode_udp,
    decode_udp_datagram,
)
from colotrace_agent.packets.gre import decode_gre, decode_gre_packet
from colotrace_agent.packets.probe import Writer
from colotrace_agent.packets.writer import writer_for
from colotrace_proto.messages import Failure, Frame, JobId

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
    """A trace, or several as one, the frames that told of it, and when its probes left."""

    traced: Trace | Several
    report: Report
    frames: list[Frame] = field(default_factory=list)
    sent_at: list[int] = field(default_factory=list)
    account: Account = field(default_factory=Account)

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

    def start(self, spec: TraceSpec, *, multipath: bool = False) -> Job:
        """Begin a job: a trace, or several as one, as `colotrace_agent.job.shell` does."""
        report = Report(JobId(str(len(self.jobs))))
        specs = specs_of(spec)
        if len(specs) == 1 and not multipath:
            trace = self._begin(spec)
            job = Job(trace, report)
            self._by_flow[trace.flow.key] = job
        else:
            several = Several(specs, multipath=multipath)
            job = Job(several, report)
            self._go_on(job, several)
        self.jobs.append(job)
        return job

    def _go_on(self, job: Job, several: Several) -> None:
        """Begin what is due, and tell of the job."""
        for due in several.due():
            trace = self._begin(due, job.account)
            several.begun(trace)
            self._by_flow[trace.flow.key] = job
        if several.done:
            several.settle()
            links, said = several.links, several.notices
            job.frames.append(job.report.final(several, Failure.NONE, links=links, notices=said))
        elif several.replies:
            job.frames.append(job.report.progress(several))

    def _begin(self, spec: TraceSpec, account: Account | None = None) -> Trace:
        source = packed(self._worlds[spec.target].addresses.prober)
        flow = self.engine.allocate(spec, source, reserve=lambda _: True, now=self.now)
        self._writers[flow.key] = writer_for(flow)
        return self.engine.start(spec, flow, now=self.now, account=account)

    def run(self, *, until: int | None = None, ended: Job | None = None) -> None:
        """Go on until everything has ended and arrived, or until that time or that job's end."""
        while until is None or self.now < until:
            self._receive()
            self.engine.expire(self.now)
            self._tell()
            if ended is not None and ended.ended:
                return
            if not self._send():
                self._tell()
                times = (self._agenda.next_ns(), self.engine.next_deadline(self.now), until)
                ahead = [at for at in times if at is not None]
                if not ahead:
                    return
                # An instant that passes with nothing done would pass for ever.
                assert min(ahead) > self.now
                self.now = min(ahead)

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
                self.engine.left(probe, at=self.now)
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
            if isinstance(job.traced, Several):
                if trace.ended is not None:
                    job.traced.took(trace)
                    self._go_on(job, job.traced)
            elif trace.ended is None:
                job.frames.append(job.report.progress(trace))
            else:
                job.frames.append(job.report.final(trace, Failure.NONE, notices=notices(trace)))


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
    whole = {
        wire.ICMP: decode_icmp,
        wire.UDP: decode_udp,
        wire.TCP: decode_tcp,
        wire.GRE: decode_gre,
    }
    if four:
        return whole[packet[9]](packet)
    parts = {
        wire.ICMP6: decode_icmp6,
        wire.UDP: decode_udp_datagram,
        wire.TCP: decode_tcp_segment,
        wire.GRE: decode_gre_packet,
    }
    return parts[packet[6]](packet[40:], packet[8:24])
