"""All network input and output of the prober, behind a few methods."""

import select
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import Flow, FlowKey, Heard, Probe, Unheard, family_of
from colotrace_agent.packets.decode import decode
from colotrace_agent.packets.formats import ERRORS, FORMATS

from . import clock
from .addresses import HostFamilies
from .flowroutes import FlowFields, FlowRoutes, NextHop
from .ports import Ports
from .receiver import SLOTS as RECEIVED_AT_ONCE
from .receiver import Receiver, room
from .route import source_for, sources_for
from .sender import SLOTS, Departure, Sender, Stamp
from .sockets import Drops, RawSockets
from .zone import zone_label


class Arrival(NamedTuple):
    """A decoded packet, with the times of its arrival and of the read, in monotonic nanoseconds."""

    heard: Heard | Unheard
    at: int
    read_at: int


_ReceiverKey = tuple[Family, PacketType]


def decoded(
    family: Family, packet_type: PacketType, data: bytes, responder: bytes, link: int
) -> Heard | Unheard:
    """Decode a packet from the socket of that family and type; `responder` and `link` are those of
    `Packet`."""
    heard = decode(family, packet_type, data, responder)
    if link and isinstance(heard, Heard):
        return heard._replace(labels=(zone_label(link), *heard.labels))
    return heard


_NO_HOP = NextHop(b"", 0, 0)


def _fields_of(flow: Flow) -> FlowFields:
    return FlowFields(flow.packet_type, flow.target, flow.identifier, flow.port)


class Wire:
    """The agent's sockets, which it owns. `watch` is called with each descriptor to read from."""

    def __init__(self, sockets: RawSockets, *, watch: Callable[[int], object]) -> None:
        self.wall = clock.WallClock()
        """The clock of all stamps."""
        self.read_until = clock.now()
        """`receive` has returned all packets that arrived before this time."""
        self.drained = True
        """Whether the last `receive` left no packet that arrived before it."""
        self._ports = Ports()
        self.routes = FlowRoutes()
        """Routes of flows, where these depend on more than the target."""
        # Epoch and next hop, for flows whose route depends on more than the target.
        self._hops: dict[FlowKey, tuple[int, NextHop]] = {}
        wall, buffers = self.wall, room()
        self._senders = {family: Sender(sock, wall) for family, sock in sockets.senders.items()}
        self._receivers = {
            key: Receiver(sock, wall, buffers) for key, sock in sockets.receivers.items()
        }
        self._listening: dict[int, _ReceiverKey] = {}
        self._readable = select.poll()
        for key in self._receivers:
            if key[1] is ERRORS:
                self._listen(key)
        # Flows that use a tap, by identifier (for UDP and TCP the source port).
        self._tap_users: dict[_ReceiverKey, Counter[int]] = {
            key: Counter() for key in self._receivers
        }
        self._drops = Drops(sockets.receivers)
        self._families = HostFamilies()
        for receiver in self._receivers.values():
            watch(receiver.fileno())

    @property
    def families(self) -> frozenset[Family]:
        """The working address families."""
        return self._families.current() & self._senders.keys()

    @property
    def families_fileno(self) -> int | None:
        """Readable when `families` may have changed; None if the kernel does not report it."""
        return self._families.fileno()

    def source_for(self, target: bytes) -> bytes:
        """The source address for a target; raises OSError if there is no route.

        If routes depend on more than the target, the result is a placeholder of zeros, and `routed`
        finds the address.
        """
        by_flow = self.routes.by_flow(family_of(target))
        return bytes(len(target)) if by_flow else source_for(target)

    def sources_for(self, targets: Sequence[bytes]) -> list[bytes | OSError]:
        """Like `source_for`, for many targets of one family; errors are in the list."""
        if self.routes.by_flow(family_of(targets[0])):
            return [bytes(len(target)) for target in targets]
        return sources_for(targets)

    def routed(self, flow: Flow) -> Flow:
        """The flow with the source address of its route; its probes will use the route's next hop.
        Call it before `open`.

        Raises:
            OSError: the host has no route for the flow.
        """
        if not self.routes.by_flow(flow.family):
            return flow
        (route,) = self.routes.look_up([_fields_of(flow)])
        if isinstance(route, OSError):
            raise route
        self._hops[flow.key] = self.routes.epoch, route.hop
        return replace(flow, source=route.source)

    def reserve(self, packet_type: PacketType, family: Family, port: int) -> bool:
        """Reserve a source port for a flow, before `open`."""
        return self._ports.reserve(packet_type, family, port)

    def open(self, flow: Flow) -> None:
        """Start receiving answers for a flow, before its probes are sent."""
        # An earlier step of the clock does not affect this flow.
        self.wall.offset()
        if FORMATS[flow.packet_type].tap is None:
            return
        tap = (flow.family, flow.packet_type)
        users = self._tap_users[tap]
        if not users:
            self._receivers[tap].unpark()
            self._listen(tap)
        users[flow.identifier] += 1
        if users[flow.identifier] == 1:
            self._receivers[tap].keep_ports(flow.packet_type, users.keys())

    def give_back(self, flow: Flow) -> None:
        """Release the source port of a flow for which `open` failed."""
        self._hops.pop(flow.key, None)
        if FORMATS[flow.packet_type].ports:
            self._ports.release(flow.packet_type, flow.family, flow.identifier)

    def close_flow(self, flow: Flow) -> None:
        """Stop receiving answers for a flow whose trace has ended."""
        self._hops.pop(flow.key, None)
        if FORMATS[flow.packet_type].tap is None:
            return
        self.give_back(flow)
        tap = (flow.family, flow.packet_type)
        receiver, users = self._receivers[tap], self._tap_users[tap]
        users[flow.identifier] -= 1
        if not users[flow.identifier]:
            del users[flow.identifier]
            if users:
                receiver.keep_ports(flow.packet_type, users.keys())
            else:
                receiver.park()
                self._readable.unregister(receiver.fileno())
                del self._listening[receiver.fileno()]

    def send(self, packets: Sequence[tuple[Probe, bytearray]]) -> list[Departure]:
        """Send packets, in this order within a family; the result for each."""
        departures: list[Departure] = []
        for family, sender in self._senders.items():
            batch = [each for each in packets if each[0].flow.family is family]
            by_flow = batch and self.routes.by_flow(family)
            for start in range(0, len(batch), SLOTS):
                some = batch[start : start + SLOTS]
                hops = [self._hop_of(probe.flow) for probe, _ in some] if by_flow else None
                departures += sender.send(some, hops)
        return departures

    def _hop_of(self, flow: Flow) -> NextHop:
        """The flow's next hop, looked up again if the host's routing has changed."""
        epoch, hop = self._hops.get(flow.key, (-1, _NO_HOP))
        if epoch != self.routes.epoch:
            hop = NextHop(flow.target, 0, 0)  # without a route, sending reports the error
            with suppress(OSError):
                (route,) = self.routes.look_up([_fields_of(flow)._replace(source=flow.source)])
                hop = hop if isinstance(route, OSError) else route.hop
            self._hops[flow.key] = self.routes.epoch, hop
        return hop

    def stamps(self) -> list[Stamp]:
        """New time stamps of sent probes.

        Call it before `receive`: the stamp of a probe comes before its answer.
        """
        return [stamp for sender in self._senders.values() for stamp in sender.stamps()]

    def receive(self, *, taps_only: bool = False) -> list[Arrival]:
        """A batch of packets from each readable socket, or from taps only."""
        arrivals: list[Arrival] = []
        self.read_until = now = clock.now()
        self.drained = True
        readable = dict(self._readable.poll(0))
        for fd, key in self._listening.items():
            if fd not in readable:
                self._receivers[key].queue.was_empty(now)
        for fd in readable:
            key = family, packet_type = self._listening[fd]
            receiver = self._receivers[key]
            if taps_only and packet_type is ERRORS:
                continue
            packets = receiver.receive()
            self.drained &= len(packets) < RECEIVED_AT_ONCE
            for data, responder, link, at, read_at in packets:
                heard = decoded(family, packet_type, data, responder, link)
                arrivals.append(Arrival(heard, at, read_at))
            self.read_until = min(self.read_until, receiver.queue.read_until)
        return arrivals

    def _listen(self, key: _ReceiverKey) -> None:
        fd = self._receivers[key].fileno()
        self._listening[fd] = key
        self._readable.register(fd, select.POLLIN)

    def route_may_differ(self, flow: Flow) -> bool:
        """Whether the flow's probes may take another next hop than ordinary traffic of that
        kind."""
        _, hop = self._hops.get(flow.key, (0, _NO_HOP))
        return not hop.is_usual

    def hop_of(self, flow: Flow) -> NextHop | None:
        """The flow's next hop; None if its route depends on the target only."""
        _, hop = self._hops.get(flow.key, (0, _NO_HOP))
        return hop if hop.interface else None

    def overflows(self) -> int:
        """Packets dropped since the last call because receive buffers were full; not network
        loss."""
        return self._drops.since()

    def close(self) -> None:
        """Closes every socket."""
        for sender in self._senders.values():
            sender.close()
        for receiver in self._receivers.values():
            receiver.close()
        self._ports.close()
        self._families.close()
        self.routes.close()
