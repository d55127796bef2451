"""The shell around the bulk engine: sockets in, sockets out, and the clock, on one event loop."""

import asyncio
import errno
from collections.abc import Callable

import numpy as np
from colotrace_proto.messages import Family, PacketType

from colotrace_agent.hostsecret import host_secret
from colotrace_agent.model import TraceSpec, Unheard, family_of
from colotrace_agent.network import clock, rows
from colotrace_agent.network.sockets import RawSockets
from colotrace_agent.network.wire import Wire, decoded
from colotrace_agent.packets.matrix import MatrixWriter

from .engine import BulkEngine
from .line import Line
from .table import Due, Table

# What one turn handles before others on the event loop have theirs.
_ROUNDS = 16
_BATCHES = 4
# Between turns that have nothing to do at once: answers come in by the batch.
_PACE_NS = 8_000_000
# Traces that wait to send: more would only wait longer.
_WAITING = 256


class BulkTracer:
    """Traces many targets. To be used on the event loop it was made on; owns the sockets.

    `tell` is called with traces that have ended, which it may look at until it returns.
    """

    def __init__(
        self,
        spec: TraceSpec,
        sockets: RawSockets,
        *,
        rate: float | None,
        tell: Callable[[list[Line]], None],
    ) -> None:
        self.sent = 0
        """Probes so far."""
        self.turned = asyncio.Event()
        """Set after each turn: there may be room, or nothing under way any more."""
        self._loop = asyncio.get_running_loop()
        # Nobody is woken by what comes in: it is stamped by the kernel, and waits for its turn.
        self._wire = Wire(sockets, watch=lambda _: None)
        wall, buffers = clock.WallClock(), rows.room()
        self._senders = {
            family: rows.RowSender(sock, wall) for family, sock in sockets.senders.items()
        }
        self._receivers = {
            family: rows.RowReceiver(sockets.receivers[family, PacketType.ICMP], wall, buffers)
            for family in sockets.senders
        }
        self._engine = BulkEngine(spec, rate=rate, flow_secret=host_secret())
        self._writers: dict[Table, MatrixWriter] = {}
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None

    @property
    def families(self) -> frozenset[Family]:
        """The families it can send."""
        return self._wire.families

    @property
    def under_way(self) -> int:
        """Traces that have not ended."""
        return len(self._engine)

    def has_room(self, target: bytes) -> bool:
        """Whether a trace to that target may begin now."""
        return self._engine.waiting < _WAITING and self._engine.has_room(target)

    def start(self, target: bytes) -> Line:
        """Begins a trace, for which there is room.

        Raises:
            OSError: there is no route to the target.
            NoFlowLeftError: too many traces to the target have been under way.
        """
        source = self._wire.source_for(target)
        now, family = clock.now(), family_of(target)
        packet_type = self._engine.spec.packet_type

        def reserve(port: int) -> bool:
            return self._wire.reserve(packet_type, family, port)

        flow = self._engine.allocate(target, source, reserve=reserve, now=now)
        try:
            self._wire.open(flow)
        except OSError:
            self._engine.give_back(flow, now=now)
            self._wire.give_back(flow)
            raise
        table, number = self._engine.start(flow, now=now)
        writer = self._writers.get(table)
        if writer is None:
            lines = len(table.flows)
            writer = self._writers[table] = MatrixWriter(packet_type, family, lines=lines)
        writer.begin(number, flow)
        self._soon()
        return Line(table, number)

    def stop(self) -> None:
        """Ends all traces with what there is."""
        self._end(self._engine.stop(clock.now()))
        self.turned.set()

    def close(self) -> None:
        """Closes the sockets."""
        for handle in (self._timer, self._turn):
            if handle is not None:
                handle.cancel()
        self._wire.close()

    def _soon(self) -> None:
        if self._turn is None:
            self._turn = self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        for _ in range(_ROUNDS):
            received = self._receive()
            # As `runner.Prober` does: no further than all that came has been heard.
            now = min(self._wire.heard_until, *(r.heard_until for r in self._receivers.values()))
            self._end(self._engine.expire(now))
            if not self._send(now) and not received:
                self._sleep(now)
                break
        else:
            self._soon()
        self.turned.set()

    def _sleep(self, now: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._engine.next_deadline(now)
        if not len(self._engine):
            return
        at = now + _PACE_NS if deadline is None else min(deadline, now + _PACE_NS)
        self._timer = self._loop.call_later(max(at - clock.now(), 0) / 1e9, self._take_turn)

    # Out.

    def _send(self, now: int) -> bool:
        batches = self._engine.poll(now, most=rows.ROWS)
        for table, due in batches:
            self._send_rows(table, due)
        return bool(batches)

    def _send_rows(self, table: Table, due: Due) -> None:
        lines, ordinals, ttls = due
        packets = self._writers[table].write(
            lines, ordinals, ttls,
            tags=table.tags[lines, ordinals], ip_ids=table.ip_ids[lines, ordinals],
        )  # fmt: skip
        tickets = table.tickets(lines, ordinals)
        at, failed = self._senders[table.family].send(packets, table.targets[lines], tickets)
        for row, error in failed.items():
            table.failed(int(lines[row]), int(ordinals[row]), error)
        if failed:
            good = np.ones(len(lines), np.bool_)
            good[list(failed)] = False
            due, at = Due(lines[good], ordinals[good], ttls[good]), at[good]
        table.left(due, at=at)
        self.sent += len(due.lines)

    # In.

    def _receive(self) -> bool:
        for family, sender in self._senders.items():
            stamps = sender.stamps()
            if stamps is not None:
                self._engine.tables[family].stamps(stamps.tickets, stamps.at, stamps.right)
        received = False
        for family, receiver in self._receivers.items():
            for _ in range(_BATCHES):
                batch = receiver.receive()
                if batch is None:
                    break
                received = True
                self._take_in(family, batch)
                if len(batch.packets) < rows.ROWS:
                    break
        for heard, at, read_at in self._wire.receive(taps_only=True):
            received = True
            if not isinstance(heard, Unheard):
                self._engine.heard(heard, at=at, read_at=read_at)
        return received

    def _take_in(self, family: Family, batch: rows.Batch) -> None:
        odd = self._engine.heard_batch(
            family, batch.packets, batch.lengths, batch.senders, at=batch.at, read_at=batch.read_at
        )
        for row in odd:
            data = batch.packets[row, : batch.lengths[row]].tobytes()
            sender, link = batch.senders[row].tobytes(), int(batch.links[row])
            heard = decoded(family, PacketType.ICMP, data, sender, link)
            if not isinstance(heard, Unheard):
                self._engine.heard(heard, at=int(batch.at[row]), read_at=batch.read_at)

    # Ended.

    def _end(self, ended: list[Line]) -> None:
        if not ended:
            return
        overflows = self._wire.overflows()
        if overflows:
            self._engine.overflowed(overflows)
        self._look_for_neighbours(ended)
        self._tell(ended)
        now = clock.now()
        for line in ended:
            flow = line.table.flows[line.number]
            if flow is not None:
                self._wire.close_flow(flow)
            self._engine.told(line, now)

    def _look_for_neighbours(self, ended: list[Line]) -> None:
        """As `runner.Prober` does."""
        for table in self._writers:
            numbers = np.array([line.number for line in ended if line.table is table], np.intp)
            for number in table.with_undeparted(numbers).tolist():
                target = table.targets[number].tobytes()
                missing = self._wire.missing_neighbour(target)
                if missing is not None:
                    undeparted = table.undeparted(number)
                    table.kept_back(number, undeparted, errno.EHOSTUNREACH, str(missing))
