"""The shell around the engine: sockets, timers and the clock, on one event loop.

One `Prober` serves all traces of the process. Each turn reads received packets, lets the engine
decide, sends the probes that are due, and calls the listeners of the traces that have changed.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from colotrace_proto.messages import Counters, Family

from .engine.engine import Engine
from .engine.limits.shares import Share
from .engine.trace import Trace
from .host.secret import host_secret
from .model import FlowKey, TraceSpec, Unheard
from .network import clock
from .network.neighbours import missing_neighbour
from .network.sockets import RawSockets, open_all
from .network.wire import Wire
from .packets.formats import writer_for
from .packets.probe import Writer

Listener = Callable[[Trace], None]

# Bounds of one turn, after which other tasks run: an offered job must be accepted soon.
_SEND_AT_ONCE = 64
_ROUNDS = 16
_TURN_S = 0.004
# With at least `_MANY` traces, new ones wait until `_APART_S` after the last turn.
_MANY, _APART_S = 100, 0.001


def open_prober(*, rate: float | None = None, sockets: RawSockets | None = None) -> "Prober":
    """A prober over these sockets, or over its own (needs CAP_NET_RAW); it closes them.

    Call it on the event loop.
    """
    watched: list[int] = []
    wire = Wire(sockets or open_all(), watch=watched.append)
    return Prober(wire, Engine(rate=rate, flow_secret=host_secret()), watched)


class Prober:
    """Runs traces. Use it on the event loop where it was created."""

    def __init__(self, wire: Wire, engine: Engine, watched: Sequence[int] = ()) -> None:
        """`watched` are the descriptors of the wire from which to read."""
        self._sent = self._send_errors = self._malformed = 0
        self._wire = wire
        self._engine = engine
        self._listeners: dict[Trace, Listener] = {}
        self._writers: dict[FlowKey, Writer] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0
        self._turned_at = -_APART_S
        self._turn: asyncio.Handle | None = None
        self._watched = list(watched)
        for fd in watched:
            self._loop.add_reader(fd, self._take_turn)

    @property
    def families(self) -> frozenset[Family]:
        """Address families that the host can send."""
        return self._wire.families

    def watch_families(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever `families` may have changed, until `close`."""
        fd = self._wire.families_fileno
        if fd is None:
            return

        def readable() -> None:
            _ = self.families  # reads the notification
            changed()

        self._loop.add_reader(fd, readable)
        self._watched.append(fd)

    @property
    def traces(self) -> int:
        """Traces under way."""
        return len(self._engine)

    def counters(self) -> Counters:
        """Packets since the start; those of a trace are added when it ends."""
        self._look_for_overflows()
        engine = self._engine
        return Counters(
            sent=self._sent,
            send_errors=self._send_errors,
            duplicates=engine.counted.duplicates,
            late=engine.counted.late + engine.late,
            foreign=engine.counted.foreign + engine.foreign,
            ambiguous=engine.counted.ambiguous,
            malformed=self._malformed + engine.malformed,
            overflows=engine.overflows,
            unstamped=engine.unstamped,
        )

    def start(
        self, spec: TraceSpec, listener: Listener, *, share: Share[Trace] | None = None
    ) -> Trace:
        """Start a trace. The listener is called on each change, the last time with `ended` set.

        Traces of one job have one `share` of the packet budgets.

        Raises:
            OSError: there is no route to the target.
            NoFlowLeftError: too many traces to the target are under way.
        """
        source = self._wire.source_for(spec.target)
        self._look_for_overflows()  # earlier overflows do not concern this trace
        now = clock.now()

        def reserve(port: int) -> bool:
            return self._wire.reserve(spec.packet_type, spec.family, port)

        flow = self._engine.identities.allocate(spec, source, reserve=reserve, now=now)
        try:
            flow = self._wire.routed(flow)
            self._wire.open(flow)
        except OSError:
            self._engine.identities.release(flow, now)
            self._wire.give_back(flow)
            raise
        self._writers[flow.key] = writer_for(flow)
        trace = self._engine.start(spec, flow, now=clock.now(), share=share)
        trace.caveats.detour = self._wire.route_may_differ(flow)
        self._listeners[trace] = listener
        self._soon()
        return trace

    def stop(self, trace: Trace) -> None:
        """End a trace, after reading the packets that have come in, as far as one turn allows. Its
        listener is called."""
        now = clock.now()
        for _ in range(_ROUNDS):
            if not self._receive() or self._wire.read_until >= now:
                break
        self._end(trace)

    def close(self) -> None:
        """Stop all traces and close the sockets."""
        for trace in list(self._listeners):
            self._end(trace)
        for handle in (self._timer, self._turn):
            if handle is not None:
                handle.cancel()
        for fd in self._watched:
            self._loop.remove_reader(fd)
        self._wire.close()

    def _end(self, trace: Trace) -> None:
        self._engine.stop(trace, now=clock.now())
        self._tell()

    def _soon(self) -> None:
        """Schedule a turn; with many traces, those that start in a row share it."""
        if self._turn is not None:
            return
        wait_s = self._turned_at + _APART_S - self._loop.time()
        if wait_s > 0 and len(self._engine) >= _MANY:
            self._turn = self._loop.call_later(wait_s, self._take_turn)
        else:
            self._turn = self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._turned_at = self._loop.time()
        for _ in range(_ROUNDS):
            # Receive before sending: a reply may save the probes of the next round.
            received = self._receive()
            # The engine's clock stops at the last packet read: replies still queued in a socket are
            # judged by their time stamps, however late this process is.
            now = self._wire.read_until
            self._engine.expire(now)
            if not self._send(now) and (self._wire.drained or not received):
                self._sleep(now)
                break
            if self._loop.time() - self._turned_at > _TURN_S:
                self._turn = self._loop.call_soon(self._take_turn)
                break
        else:
            self._turn = self._loop.call_soon(self._take_turn)
        # Last, so that listeners are called once a turn.
        self._tell()

    def _receive(self) -> bool:
        for probe, at in self._wire.stamps():
            self._engine.departed(probe, at=at)
        arrivals = self._wire.receive()
        for heard, at, read_at in arrivals:
            if isinstance(heard, Unheard):
                self._malformed += heard is Unheard.MALFORMED
            else:
                self._engine.heard(heard, at=at, read_at=read_at)
        return bool(arrivals)

    def _send(self, now: int) -> bool:
        probes = self._engine.poll(now, most=_SEND_AT_ONCE)
        if not probes:
            return False
        writers = self._writers
        packets = [
            (probe, writers[probe.flow.key].write(probe.ordinal, probe.ttl)) for probe in probes
        ]
        for probe, at, error in self._wire.send(packets):
            if error:
                self._engine.failed(probe, error)
                self._send_errors += 1
            else:
                self._engine.sent(probe, at=at)
                self._sent += 1
        return True

    def _sleep(self, now: int) -> None:
        deadline = self._engine.next_deadline(now)
        if self._timer is not None:
            if deadline is not None and now < self._wakes_at <= deadline:
                return  # an extra turn costs less than a new timer for each reply
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            delay_s = max(deadline - clock.now(), 0) / 1e9
            self._timer, self._wakes_at = self._loop.call_later(delay_s, self._wake), deadline

    def _wake(self) -> None:
        self._timer = None
        self._take_turn()

    def _tell(self) -> None:
        changed, self._engine.changed = self._engine.changed, set()
        ended = [trace for trace in changed if trace.ended is not None]
        if ended:
            self._look_for_overflows(ended)
            for trace in ended:
                self._engine.judge_limits(trace)
        for trace in changed:
            if trace.ended is None:
                self._listeners[trace](trace)
                continue
            listener = self._listeners.pop(trace, None)
            if listener is not None:
                self._look_for_neighbour(trace)
                del self._writers[trace.flow.key]
                self._wire.close_flow(trace.flow)
                listener(trace)

    def _look_for_overflows(self, ended: Iterable[Trace] = ()) -> None:
        """Count the packets that receive queues dropped, for all traces under way and those that
        have just `ended`."""
        packets = self._wire.overflows()
        if packets:
            self._engine.overflowed(packets)
            for trace in ended:
                trace.caveats.overflows += packets

    def _look_for_neighbour(self, trace: Trace) -> None:
        """Count probes that still wait for the next hop's link address as not sent, not as lost.

        The kernel reports a failed look-up only after seconds; many traces end before.
        """
        undeparted = trace.undeparted()
        missing = (
            missing_neighbour(trace.spec.target, self._wire.hop_of(trace.flow))
            if undeparted
            else None
        )
        if missing is not None:
            trace.caveats.obstacle = missing
            trace.kept_back(undeparted)
            self._send_errors += len(undeparted)
