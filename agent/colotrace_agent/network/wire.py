"""Everything that touches the network for the prober, behind a few methods."""

import errno
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import Flow, Heard, Unheard
from colotrace_agent.packets.decode import (
    decode_icmp,
    decode_icmp6,
    decode_tcp,
    decode_tcp_segment,
    decode_udp,
    decode_udp_datagram,
)

from . import clock
from .ports import Ports
from .route import source_for, working_families
from .sockets import (
    SO_TIMESTAMPNS,
    open_icmp_receiver,
    open_sender,
    open_tcp_tap,
    open_udp_tap,
)

_LARGEST_ANSWER = 2_048  # more than any quote of a probe of ours
_ANCILLARY = 64
_TIMESPEC = struct.Struct("qq")
# Addresses come and go seldom, and asking for them costs as much as many probes.
_FAMILIES_NS = 1_000_000_000


_OPENERS = {
    PacketType.ICMP: open_icmp_receiver,
    PacketType.UDP: open_udp_tap,
    PacketType.TCP: open_tcp_tap,
}
# IPv4's raw sockets give the IP header, IPv6's keep it to themselves.
_DECODERS = {PacketType.ICMP: decode_icmp, PacketType.UDP: decode_udp, PacketType.TCP: decode_tcp}
_DECODERS_V6 = {
    PacketType.ICMP: decode_icmp6,
    PacketType.UDP: decode_udp_datagram,
    PacketType.TCP: decode_tcp_segment,
}


class Arrival(NamedTuple):
    """A packet that came in, decoded, and when, in monotonic nanoseconds."""

    heard: Heard | Unheard
    at: int


class Wire:
    """The agent's sockets. Opening them needs CAP_NET_RAW.

    `watch` and `unwatch` are told each socket that can be read from, as it opens and closes.
    """

    def __init__(self, *, watch: Callable[[int], object], unwatch: Callable[[int], object]) -> None:
        self._watch = watch
        self._unwatch = unwatch
        self._ports = Ports()
        self._senders: dict[Family, socket.socket] = {}
        self._receivers: dict[tuple[Family, PacketType], socket.socket] = {}
        self._tapped: dict[tuple[Family, PacketType], int] = {}
        self._families: frozenset[Family] = frozenset()
        self._families_until = 0
        for family in Family:
            # A kernel may be without IPv6.
            with suppress(OSError):
                self._senders[family] = open_sender(family)
                self._open_receiver(family, PacketType.ICMP)

    @property
    def families(self) -> frozenset[Family]:
        """The families that work at present."""
        now = clock.now()
        if now >= self._families_until:
            self._families = working_families() & self._senders.keys()
            self._families_until = now + _FAMILIES_NS
        return self._families

    def source_for(self, target: bytes) -> bytes:
        """The address to send from; raises OSError where there is no route."""
        return source_for(target)

    def reserve(self, packet_type: PacketType, family: Family, port: int) -> bool:
        """Takes a source port for a flow that `open` will be told of."""
        return self._ports.reserve(packet_type, family, port)

    def open(self, flow: Flow) -> None:
        """Probes of that flow are about to be sent: whatever may answer is heard from now on."""
        if flow.packet_type is PacketType.ICMP:
            return
        tap = (flow.family, flow.packet_type)
        if not self._tapped.get(tap):
            self._open_receiver(*tap)
        self._tapped[tap] = self._tapped.get(tap, 0) + 1

    def give_back(self, flow: Flow) -> None:
        """A flow that `open` could not serve: its source port is free again."""
        if flow.packet_type is not PacketType.ICMP:
            self._ports.release(flow.packet_type, flow.family, flow.identifier)

    def close_flow(self, flow: Flow) -> None:
        """The flow's trace has ended."""
        if flow.packet_type is PacketType.ICMP:
            return
        self.give_back(flow)
        tap = (flow.family, flow.packet_type)
        self._tapped[tap] -= 1
        if not self._tapped[tap]:
            self._close_receiver(*tap)

    def send(self, packet: bytes | bytearray, target: bytes) -> tuple[int, int]:
        """Sends a whole packet: when it left, and 0 or the errno that kept it from leaving."""
        family = Family.IPV4 if len(target) == 4 else Family.IPV6
        sender = self._senders[family]
        address = (socket.inet_ntop(sender.family, target), 0)
        at = clock.now()
        try:
            sender.sendto(packet, address)
        except OSError as error:
            return at, error.errno or errno.EIO
        return at, 0

    def receive(self, most: int) -> list[Arrival]:
        """Up to about `most` packets that have come in."""
        arrivals: list[Arrival] = []
        offset = clock.wall_offset()
        for (family, packet_type), sock in self._receivers.items():
            while len(arrivals) < most:
                try:
                    packet, ancillary, _, address = sock.recvmsg(_LARGEST_ANSWER, _ANCILLARY)
                except BlockingIOError:
                    break
                except OSError:  # an error of the interface; the next packet may be fine
                    continue
                at = clock.arrival(_stamp(ancillary), offset=offset, now=clock.now())
                arrivals.append(Arrival(_decode(family, packet_type, packet, address[0]), at))
        return arrivals

    def close(self) -> None:
        """Closes every socket."""
        for family, packet_type in list(self._receivers):
            self._close_receiver(family, packet_type)
        for sender in self._senders.values():
            sender.close()
        self._ports.close()

    def _open_receiver(self, family: Family, packet_type: PacketType) -> None:
        sock = _OPENERS[packet_type](family)
        self._receivers[family, packet_type] = sock
        self._watch(sock.fileno())

    def _close_receiver(self, family: Family, packet_type: PacketType) -> None:
        sock = self._receivers.pop((family, packet_type))
        self._unwatch(sock.fileno())
        sock.close()


def _decode(
    family: Family, packet_type: PacketType, packet: bytes, address: str
) -> Heard | Unheard:
    if family is Family.IPV4:
        return _DECODERS[packet_type](packet)
    responder = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return _DECODERS_V6[packet_type](packet, responder)


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None
