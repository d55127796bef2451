"""A probe host in virtual time that traces in bulk: as `virtual`, over arrays."""

import random
from collections.abc import Sequence

import numpy as np
from colotrace_agent.bulk.engine import BulkEngine, Ended
from colotrace_agent.bulk.flows import rows_of
from colotrace_agent.bulk.group import Group
from colotrace_agent.bulk.matrix import MatrixWriter
from colotrace_agent.bulk.sending import Due
from colotrace_agent.job.frames import Report
from colotrace_agent.model import TraceSpec, Unheard
from colotrace_proto.messages import Failure, Family, Frame, JobId

from scenario import wire
from scenario.addresses import packed
from scenario.clockwork import Agenda
from scenario.virtual import START_NS, decode, reset_for
from scenario.world import World

_SEND_NS = 10_000
_MOST = 64


class VirtualBulkHost:
    """Traces one target again and again, or those of several worlds at once."""

    def __init__(self, worlds: Sequence[World], spec: TraceSpec, *, seed: int = 0) -> None:
        self.now = START_NS
        self.engine = BulkEngine(spec, secret=random.Random(seed).randbytes(32))
        self.frames: list[Frame] = []
        self.unheard: list[Unheard] = []
        self._worlds = {packed(world.addresses.target): world for world in worlds}
        self._agenda = Agenda()
        self._writers: dict[Group, MatrixWriter] = {}

    def start(self, target: bytes) -> None:
        """Begin a trace."""
        source = packed(self._worlds[target].addresses.prober)
        assert self.engine.startable([target])
        flows, _ = self.engine.allocate(
            rows_of([target]), rows_of([source]), reserve=lambda _: True, now=self.now
        )
        group, lines = self.engine.start(flows, now=self.now)
        if group not in self._writers:
            packet_type = self.engine.spec.packet_type
            self._writers[group] = MatrixWriter(
                packet_type, group.columns.family, lines=group.columns.lines
            )
        self._writers[group].begin(lines, flows)

    def run(self) -> None:
        """Go on until every trace has ended."""
        while len(self.engine):
            self._receive()
            for ended in self.engine.expire(self.now):
                self._tell(ended)
            if not self._send():
                times = (self._agenda.next_ns(), self.engine.next_deadline(self.now))
                ahead = [at for at in times if at is not None]
                if ahead:
                    self.now = max(min(ahead), self.now + 1)

    def _tell(self, ended: Ended) -> None:
        self.engine.judge_limits(ended, self.now)
        for number in ended.numbers.tolist():
            line, report = ended.line(number), Report(JobId(str(len(self.frames))))
            self.frames.append(report.final(line, Failure.NONE))
        self.engine.told(ended, self.now)

    def _send(self) -> bool:
        batches = self.engine.poll(self.now, most=_MOST)
        for group, due in batches:
            packets = self._writers[group].write(
                *due,
                tags=group.columns.tags[due.lines, due.ordinals].view(np.uint8).reshape(-1, 8),
                ip_ids=group.columns.ip_ids[due.lines, due.ordinals],
            )
            at = np.zeros(len(packets), np.int64)
            good = np.ones(len(packets), np.bool_)
            for row, packet in enumerate(packets):
                world = self._worlds[group.columns.targets[due.lines[row]].tobytes()]
                whole = _as_sent(packet.tobytes())
                at[row] = self.now
                error = world.send_error(whole)
                if error is not None:
                    group.sending.failed(int(due.lines[row]), int(due.ordinals[row]), error)
                    good[row] = False
                else:
                    self._agenda.add(world.deliver(whole, self.now))
                self.now += _SEND_NS
            sent = Due(*(column[good] for column in due))
            group.sending.sent(sent, at=at[good])
            right = np.ones(len(sent.lines), np.bool_)
            group.hearing.stamps(group.columns.tickets(sent.lines, sent.ordinals), at[good], right)
        return bool(batches)

    def _receive(self) -> None:
        icmp: dict[Family, list[tuple[bytes, int]]] = {}
        for delivery in self._agenda.due(self.now):
            packet = delivery.packet
            four = packet[0] >> 4 == 4
            if packet[9 if four else 6] == (wire.ICMP if four else wire.ICMP6):
                family = Family.IPV4 if four else Family.IPV6
                icmp.setdefault(family, []).append((packet, delivery.at_ns))
            else:
                self._hear(packet, delivery.at_ns)
            for whole, end in reset_for(packet):
                self._worlds[end].deliver(whole, self.now)
        for family, arrived in icmp.items():
            self._hear_batch(family, arrived)

    def _hear_batch(self, family: Family, arrived: list[tuple[bytes, int]]) -> None:
        """As a raw socket gives them: IPv6 without its header, in buffers that hold other things
        besides."""
        skip = 0 if family is Family.IPV4 else 40
        packets = np.full((len(arrived), 2_048), 0xA5, np.uint8)
        senders = np.zeros((len(arrived), 16), np.uint8)
        for row, (packet, _) in enumerate(arrived):
            packets[row, : len(packet) - skip] = np.frombuffer(packet[skip:], np.uint8)
            senders[row] = np.frombuffer(packet[8:24], np.uint8)
        odd = self.engine.heard_batch(
            family,
            packets,
            np.array([len(packet) - skip for packet, _ in arrived]),
            senders,
            at=np.array([at for _, at in arrived]),
            read_at=self.now,
        )
        for row in odd:
            self._hear(*arrived[row])

    def _hear(self, packet: bytes, at: int) -> None:
        heard = decode(packet)
        if isinstance(heard, Unheard):
            self.unheard.append(heard)
        else:
            self.engine.heard(heard, at=at, read_at=self.now)


def _as_sent(packet: bytes) -> bytes:
    four = packet[0] >> 4 == 4
    return wire.with_header_checksum(packet[:20]) + packet[20:] if four else packet
