"""The shell around the bulk engine: sockets in, sockets out, and the clock, on one event loop."""

import asyncio
import errno
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from colotrace_proto.messages import Family

from colotrace_agent.engine.identity import NoFlowLeftError
from colotrace_agent.host.secret import host_secret
from colotrace_agent.model import TraceSpec, Unheard, family_of
from colotrace_agent.network import clock
from colotrace_agent.network.neighbours import missing_neighbour
from colotrace_agent.network.sockets import RawSockets
from colotrace_agent.network.wire import Wire, decoded
from colotrace_agent.packets.formats import ERRORS, FORMATS

from . import batch_sockets
from .departing import Departing, sources_of
from .engine import BulkEngine, Ended
from .flows import Flows, rows_of
from .group import Group
from .matrix import MatrixWriter
from .sending import Due

# What one turn handles before others on the event loop have theirs.
_ROUNDS = 4
_BATCHES = 4
# Between turns that have nothing to do at once: answers come in by the batch.
_PACE_NS = 8_000_000
# Longer while traces wait for the packet budget: then ends may be noticed later.
_BUSY_PACE_NS = 12_000_000
# Traces that wait to send: more would only wait longer.
_WAITING = 1_024


class Begun(NamedTuple):
    """Result of starting traces to the first `tried` targets of a list: the lines of the started
    traces, the places of their targets in the list, and the errors of the others by place."""

    tried: int
    group: Group | None
    lines: list[int]
    places: list[int]
    failed: dict[int, OSError | NoFlowLeftError]


class BulkTracer:
    """Traces many targets on the event loop on which it was created. Owns the sockets.

    `tell` is called with ended traces, which are valid until it returns.
    """

    def __init__(
        self,
        spec: TraceSpec,
        sockets: RawSockets,
        *,
        rate: float | None,
        tell: Callable[[list[Ended]], None],
    ) -> None:
        self.sent = 0
        """Probes so far."""
        self._turned = asyncio.Event()
        self._fault: Exception | None = None
        self._loop = asyncio.get_running_loop()
        # Arrivals do not wake the loop: the kernel stamps packets, and the next turn reads them.
        self._wire = Wire(sockets, watch=lambda _: None)
        wall, buffers = clock.WallClock(), batch_sockets.room()
        self._senders = {
            family: batch_sockets.RowSender(sock, wall) for family, sock in sockets.senders.items()
        }
        self._receivers = {
            family: batch_sockets.RowReceiver(sockets.receivers[family, ERRORS], wall, buffers)
            for family in sockets.senders
        }
        self._most = min(sender.most for sender in self._senders.values())
        self._engine = BulkEngine(spec, rate=rate, flow_secret=host_secret())
        self._writers: dict[Group, MatrixWriter] = {}
        self._departing: dict[Group, Departing] = {}
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None
        self._began = 0

    @property
    def families(self) -> frozenset[Family]:
        """The families it can send."""
        return self._wire.families

    @property
    def under_way(self) -> int:
        """Traces that have not ended."""
        return len(self._engine)

    def start(self, targets: Sequence[bytes]) -> Begun:
        """Begins traces to these targets, all of one family, in order: as many as there is room
        for, and none from the first on that already has a trace."""
        count = self._startable(targets)
        found = self._wire.sources_for(targets[:count]) if count else []
        failed: dict[int, OSError | NoFlowLeftError] = {
            place: source for place, source in enumerate(found) if isinstance(source, OSError)
        }
        sources = [source for source in found if isinstance(source, bytes)]
        places = [place for place in range(count) if place not in failed]
        if not places:
            return Begun(count, None, [], [], failed)
        now, family = clock.now(), family_of(targets[0])
        packet_type = self._engine.spec.packet_type

        def reserve(port: int) -> bool:
            return self._wire.reserve(packet_type, family, port)

        flows, free = self._engine.allocate(
            rows_of([targets[place] for place in places]), rows_of(sources),
            reserve=reserve, now=now,
        )  # fmt: skip
        failed |= {places[row]: NoFlowLeftError() for row in np.nonzero(~free)[0].tolist()}
        places = [place for place in places if place not in failed]
        for step in (self._route, self._open):
            flows, errors = step(flows)
            failed |= {places[row]: error for row, error in errors.items()}
            places = [place for place in places if place not in failed]
            flows = self._without(flows, errors, now=now)
        if not places:
            return Begun(count, None, [], [], failed)
        group, lines = self._engine.start(flows, now=now)
        writer, room = self._writers.get(group), group.columns.lines
        if writer is None:
            writer = self._writers[group] = MatrixWriter(packet_type, family, lines=room)
            self._departing[group] = Departing(group.columns, self._wire.routes)
        writer.begin(lines, flows)
        self._departing[group].begin(lines)
        self._soon()
        return Begun(count, group, lines.tolist(), places, failed)

    def _startable(self, targets: Sequence[bytes]) -> int:
        room = min(_WAITING - self._engine.waiting, self._engine.room(family_of(targets[0])))
        return self._engine.startable(targets[: max(room, 0)])

    def _route(self, flows: Flows) -> tuple[Flows, dict[int, OSError]]:
        """The flows with the source addresses by which the host routes such traffic, and the errors
        of flows without a route, by row."""
        if not len(flows.targets) or not self._wire.routes.by_flow(flows.flow(0).family):
            return flows, {}
        return sources_of(flows, self._wire.routes)

    def _without(self, flows: Flows, failed: Mapping[int, OSError], *, now: int) -> Flows:
        """The flows except the rows that failed, which are released."""
        if not failed:
            return flows
        for row in failed:
            self._wire.give_back(flows.flow(row))
        good = np.ones(len(flows.targets), np.bool_)
        good[list(failed)] = False
        self._engine.give_back(flows.some(~good), now=now)
        return flows.some(good)

    def _open(self, flows: Flows) -> tuple[Flows, dict[int, OSError]]:
        """Opens the sockets for the answers to these flows. Returns the flows, and the errors of
        flows that could not be opened, by row."""
        errors: dict[int, OSError] = {}
        # Echo replies need no socket of their own; opening only checks the clock, once for all.
        echoes = FORMATS[flows.packet_type].tap is None
        for row in range(min(len(flows.targets), 1) if echoes else len(flows.targets)):
            try:
                self._wire.open(flows.flow(row))
            except OSError as error:
                errors[row] = error
        return flows, errors

    async def next_turn(self) -> None:
        """Waits for the next turn, after which there may be room, or no running trace.

        Raises the exception of a turn that failed; there are no turns after it.
        """
        if self._fault is None:
            self._turned.clear()
            await self._turned.wait()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Ends all traces with the answers so far."""
        self._end(self._engine.stop(clock.now()))
        self._turned.set()

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
        try:
            self._do_what_is_due()
        except Exception as error:  # noqa: BLE001 - `next_turn` raises it
            self._fault = error
        self._turned.set()

    def _do_what_is_due(self) -> None:
        self._began = clock.now()
        for _ in range(_ROUNDS):
            received = self._receive()
            # As in `prober.Prober`: time advances only as far as all received packets are heard.
            queues = [receiver.queue for receiver in self._receivers.values()]
            now = min(self._wire.read_until, *(queue.read_until for queue in queues))
            self._end(self._engine.expire(now))
            if not self._send(now) and not received:
                self._sleep(now)
                break
        else:
            self._soon()

    def _sleep(self, now: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._engine.next_deadline(now)
        if not len(self._engine):
            return
        at = now + _PACE_NS if deadline is None else min(deadline, now + _PACE_NS)
        if self._engine.waiting:
            at = max(at, self._began + _BUSY_PACE_NS)
        self._timer = self._loop.call_later(max(at - clock.now(), 0) / 1e9, self._take_turn)

    # Out.

    def _send(self, now: int) -> bool:
        batches = self._engine.poll(now, most=self._most)
        for group, due in batches:
            self._send_rows(group, due)
        return bool(batches)

    def _send_rows(self, group: Group, due: Due) -> None:
        lines, ordinals, ttls = due
        places = group.columns.places(lines, ordinals)
        packets = self._writers[group].write(
            lines, ordinals, ttls,
            tags=group.columns.flat_tags[places].view(np.uint8).reshape(-1, 8),
            ip_ids=group.columns.flat_ip_ids[places],
        )  # fmt: skip
        tickets = group.columns.tickets(lines, ordinals)
        leaving = self._departing[group].leaving(lines)
        at, failed = self._senders[group.columns.family].send(
            packets, leaving.addresses, tickets, routing=leaving.routing
        )
        for row, error in failed.items():
            group.sending.failed(int(lines[row]), int(ordinals[row]), error)
        if failed:
            good = np.ones(len(lines), np.bool_)
            good[list(failed)] = False
            due, at = Due(lines[good], ordinals[good], ttls[good]), at[good]
        group.sending.sent(due, at=at)
        self.sent += len(due.lines)

    # In.

    def _receive(self) -> bool:
        for family, sender in self._senders.items():
            stamps = sender.stamps()
            if stamps is not None:
                self._engine.groups[family].hearing.stamps(*stamps)
        received = False
        for family, receiver in self._receivers.items():
            for _ in range(_BATCHES):
                batch = receiver.receive()
                if batch is None:
                    break
                received = True
                self._take_in(family, batch)
                if len(batch.packets) < batch_sockets.ROWS:
                    break
        for heard, at, read_at in self._wire.receive(taps_only=True):
            received = True
            if not isinstance(heard, Unheard):
                self._engine.heard(heard, at=at, read_at=read_at)
        return received

    def _take_in(self, family: Family, batch: batch_sockets.Batch) -> None:
        odd = self._engine.heard_batch(
            family, batch.packets, batch.lengths, batch.senders, at=batch.at, read_at=batch.read_at
        )
        for row in odd:
            data = batch.packets[row, : batch.lengths[row]].tobytes()
            sender, link = batch.senders[row].tobytes(), int(batch.links[row])
            heard = decoded(family, ERRORS, data, sender, link)
            if not isinstance(heard, Unheard):
                self._engine.heard(heard, at=int(batch.at[row]), read_at=batch.read_at)

    # Ended.

    def _end(self, ended: list[Ended]) -> None:
        if not ended:
            return
        overflows = self._wire.overflows()
        if overflows:
            self._engine.overflowed(overflows)
        now = clock.now()
        for each in ended:
            self._look_for_neighbours(each)
            self._engine.judge_limits(each, now)
        self._tell(ended)
        now = clock.now()
        for each in ended:
            if FORMATS[self._engine.spec.packet_type].tap is not None:
                for number in each.numbers.tolist():
                    self._wire.close_flow(each.group.columns.flow(number))
            self._engine.told(each, now)

    def _look_for_neighbours(self, ended: Ended) -> None:
        """As `prober.Prober` does."""
        group = ended.group
        for number, undeparted in group.columns.undeparted(ended.numbers).items():
            hop = self._departing[group].hop(number)
            missing = missing_neighbour(group.columns.targets[number].tobytes(), hop)
            if missing is not None:
                group.sending.kept_back(number, undeparted, errno.EHOSTUNREACH, missing)
