"""Bursts on real sockets: what is received, and how drops are reported."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
from colotrace_agent.bulk import batch_sockets
from colotrace_agent.bulk.batch_sockets import ROWS, RowReceiver
from colotrace_agent.engine.trace import Trace
from colotrace_agent.model import TraceSpec
from colotrace_agent.network import clock, receiver
from colotrace_agent.network.receiver import SLOTS, Receiver
from colotrace_agent.network.sockets import (
    RECEIVE_BUFFER,
    SO_TIMESTAMPNS,
    RawSockets,
    open_all,
)
from colotrace_agent.network.wire import Wire
from colotrace_agent.packets.checksum import checksum, ones_sum
from colotrace_agent.prober import Prober, open_prober
from colotrace_proto.messages import Family, PacketType
from colotrace_proto.notices import sentence
from needs import need
from scenario.device import DEVICE, open_device

from lab import access, namespaces
from lab.apart import Apart

pytestmark = pytest.mark.lab

OWN, TARGET = "192.0.2.1", "203.0.113.9"
LOOPBACK = {Family.IPV4: socket.inet_aton("127.0.0.1"), Family.IPV6: bytes(15) + b"\1"}
NOBODYS = 0x0102
"""An identifier that no trace of ours has."""
ECHO_REPLY, ECHO_REQUEST = {Family.IPV4: 0, Family.IPV6: 129}, {Family.IPV4: 8, Family.IPV6: 128}
BURST = 1_500
_PATIENCE_S = 10


@pytest.fixture
def apart() -> Iterator[Apart]:
    """A namespace with a loopback device."""
    need(access.reason() or access.tun_reason())
    with Apart() as made:
        made.do(lambda: namespaces.batch(["link set lo up"]))
        with made.do(_stamped_socket) as stamped:
            _wait_for_stamps(stamped)
            yield made


def _stamped_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


def _wait_for_stamps(sock: socket.socket) -> None:
    """Wait until the kernel stamps packets, which it begins shortly after the request; until then
    packets have the time of the read."""
    for _ in range(100):
        sock.sendto(b"", sock.getsockname())
        sent = time.time()
        time.sleep(0.01)  # so that the two times differ
        _, ((_, _, stamp),), _, _ = sock.recvmsg(1, 64)
        seconds, nanoseconds = struct.unpack("=qq", stamp)
        if seconds + nanoseconds / 1e9 <= sent:
            return
    raise AssertionError("the kernel does not stamp what comes in")


@pytest.fixture(params=Family, ids=lambda family: f"v{family.value}")
def family(request: pytest.FixtureRequest) -> Family:
    """Either."""
    return Family(request.param)


class Peer:
    """Sends ICMP messages to this host with the agent's sockets."""

    def __init__(self, sockets: RawSockets) -> None:
        self._senders = sockets.senders

    def send(
        self, family: Family, packets: int, *, kind: int | None = None, good: bool = True
    ) -> None:
        """Send packets, by default echo replies that match no trace."""
        host = LOOPBACK[family]
        kind = ECHO_REPLY[family] if kind is None else kind
        message = bytearray(struct.pack("!BBHHH8x", kind, 0, 0, NOBODYS, 1))
        pseudo = b"" if family is Family.IPV4 else host * 2 + struct.pack("!II", len(message), 58)
        message[2:4] = checksum(ones_sum(pseudo + bytes(message))).to_bytes(2, "big")
        message[3] ^= not good
        if family is Family.IPV4:
            size = 20 + len(message)
            header = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, 1, 0) + host * 2
        else:
            header = struct.pack("!IHBB", 6 << 28, len(message), 58, 64) + host * 2
        for _ in range(packets):
            address = ("127.0.0.1", 0) if family is Family.IPV4 else ("::1", 0)
            self._senders[family].sendto(header + message, address)


def test_receive_buffers_have_the_wanted_size(apart: Apart) -> None:
    """Independent of net.core.rmem_max; the kernel reports twice the requested size."""
    sockets = apart.do(open_all)
    with closing(sockets):
        sizes = {
            key: sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            for key, sock in sockets.receivers.items()
        }
    assert len(sizes) == 8
    assert {key: size for key, size in sizes.items() if size < 2 * RECEIVE_BUFFER} == {}


def test_burst_waits_in_the_buffer(apart: Apart, family: Family) -> None:
    """Fifteen hundred answers wait, and all are received."""
    sockets = apart.do(open_all)
    with closing(Wire(sockets, watch=lambda _: None)) as wire:
        Peer(sockets).send(family, BURST)
        kept = 0
        while arrivals := wire.receive():
            kept += len(arrivals)
        assert (kept, wire.overflows()) == (BURST, 0)


def test_overflow_is_counted_without_a_later_packet(apart: Apart, family: Family) -> None:
    """The drops of the last burst are counted, and reported once."""
    sockets = apart.do(open_all)
    icmp = sockets.receivers[family, PacketType.ICMP]
    icmp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with closing(Wire(sockets, watch=lambda _: None)) as wire:
        Peer(sockets).send(family, BURST)
        kept = 0
        while arrivals := wire.receive():
            kept += len(arrivals)
        assert 0 < kept < BURST
        assert wire.overflows() == BURST - kept
        assert wire.overflows() == 0


def test_wrong_checksums_are_received_and_are_no_overflow(apart: Apart, family: Family) -> None:
    """A packet changed by NAT may still verify, so it is received; unwanted packets are
    filtered."""
    sockets = apart.do(open_all)
    with closing(Wire(sockets, watch=lambda _: None)) as wire:
        peer, icmp = Peer(sockets), sockets.receivers[family, PacketType.ICMP]
        peer.send(family, 37, good=False)
        peer.send(family, 1)
        assert (len(wire.receive()), wire.overflows()) == (38, 0)
        peer.send(family, 900, kind=ECHO_REQUEST[family], good=False)
        assert (len(wire.receive()), wire.overflows()) == (0, 0)
        icmp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        peer.send(family, 400)
        peer.send(family, 5, good=False)
        heard = sum(len(wire.receive()) for _ in range(5))
        assert heard + wire.overflows() == 405


def test_unwanted_messages_are_not_received(apart: Apart, family: Family) -> None:
    """The kernel answers echo requests; only its replies are received."""
    sockets = apart.do(open_all)
    with closing(Wire(sockets, watch=lambda _: None)) as wire:
        Peer(sockets).send(family, 5, kind=ECHO_REQUEST[family])
        arrivals = wire.receive()
        assert len(arrivals) == 5
        assert not wire.receive()


class Heard(NamedTuple):
    """A batch: arrival times of its packets, and the time until which everything was received."""

    at: list[int]
    read_until: int


def _by_packets(sock: socket.socket) -> tuple[int, Callable[[], Heard]]:
    made = Receiver(sock, clock.WallClock(), receiver.room())
    return SLOTS, lambda: Heard([packet.at for packet in made.receive()], made.queue.read_until)


def _by_rows(sock: socket.socket) -> tuple[int, Callable[[], Heard]]:
    made = RowReceiver(sock, clock.WallClock(), batch_sockets.room())

    def read() -> Heard:
        batch = made.receive()
        return Heard([] if batch is None else batch.at.tolist(), made.queue.read_until)

    return ROWS, read


@pytest.mark.parametrize("reader", [_by_packets, _by_rows])
def test_time_until_which_everything_was_received(
    apart: Apart, reader: Callable[[socket.socket], tuple[int, Callable[[], Heard]]]
) -> None:
    """If more packets may wait: the arrival of the last packet read; otherwise the start of the
    read."""
    sockets = apart.do(open_all)
    with closing(sockets):
        most, read = reader(sockets.receivers[Family.IPV4, PacketType.ICMP])
        Peer(sockets).send(Family.IPV4, 2 * most + 3)
        sent = clock.now()
        for _ in range(2):
            batch = read()
            assert len(batch.at) == most
            assert batch.read_until == batch.at[-1] < sent
        began = clock.now()
        batch = read()
        assert len(batch.at) == 3
        assert began <= batch.read_until <= clock.now()
        began = clock.now()
        assert began <= read().read_until


class Network:
    """The network behind the host's only device: reads its probes and answers them."""

    def __init__(self) -> None:
        self._device = open_device()
        namespaces.batch(
            [f"address add {OWN}/32 dev {DEVICE}", f"link set {DEVICE} up",
             f"route add default dev {DEVICE} src {OWN}"]
        )  # fmt: skip

    def probe(self) -> bytes:
        """The next echo request."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._device, selectors.EVENT_READ)
            while selector.select(_PATIENCE_S):
                packet = os.read(self._device, 2_048)
                if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_ICMP:
                    return packet
        raise AssertionError("no probe left")

    def answer(self, probe: bytes, *, after: int) -> None:
        """Send the echo reply, after a number of unrelated packets."""
        addresses = probe[16:20] + probe[12:16]
        reply = bytearray(probe[:12] + addresses + b"\0" + probe[21:])
        noise = bytearray(reply)
        noise[24:26] = NOBODYS.to_bytes(2, "big")
        for packet in [noise] * after + [reply]:
            packet[22:24] = bytes(2)
            packet[22:24] = checksum(ones_sum(packet[20:])).to_bytes(2, "big")
            os.write(self._device, packet)

    def close(self) -> None:
        """Close the device, which removes it."""
        os.close(self._device)


async def _one_trace(prober: Prober, *, wait_ms: int) -> tuple[Trace, asyncio.Future[None]]:
    """Start a trace and send its one probe; returns it with a future for its end."""
    ended = asyncio.get_running_loop().create_future()
    spec = TraceSpec(
        socket.inet_aton(TARGET),
        PacketType.ICMP,
        max_ttl=1,
        packets_per_ttl=1,
        wait_ns=wait_ms * 1_000_000,
    )
    trace = prober.start(spec, lambda told: None if told.ended is None else ended.set_result(None))
    async with asyncio.timeout(_PATIENCE_S):
        while not sum(trace.sent):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    return trace, ended


@pytest.mark.parametrize("end", ["by itself", "stopped"])
def test_delayed_agent_counts_answers_that_arrived_in_time(apart: Apart, end: str) -> None:
    """The event loop stalls until after the trace's timeout, while the answer waits behind many
    packets in the socket's queue. It arrived in time, so it counts."""

    async def held() -> tuple[int, int | None]:
        network, prober = Network(), open_prober()
        try:
            trace, ended = await _one_trace(prober, wait_ms=100)
            network.answer(network.probe(), after=3 * SLOTS)
            time.sleep(0.3)  # noqa: ASYNC251 - this is what holds it up
            if end == "stopped":
                prober.stop(trace)
            await asyncio.wait_for(ended, _PATIENCE_S)
            return trace.answers[0], trace.ended
        finally:
            prober.close()
            network.close()

    answers, at = apart.do(lambda: asyncio.run(held()))
    assert (answers, at is None) == (1, False)


def test_flood_does_not_delay_the_end_of_a_trace(apart: Apart) -> None:
    """Each read leaves packets in the queue; time advances with the packets read."""

    async def flooded() -> bool:
        network, sockets = Network(), open_all()
        peer, prober = Peer(sockets), open_prober(sockets=sockets)
        try:
            trace, ended = await _one_trace(prober, wait_ms=200)
            until = clock.now() + _PATIENCE_S * 10**9
            while not ended.done() and clock.now() < until:
                peer.send(Family.IPV4, 40 * SLOTS)  # more than one turn reads
                await asyncio.sleep(0)
            return trace.ended is not None
        finally:
            prober.close()
            network.close()

    assert apart.do(lambda: asyncio.run(flooded()))


def test_trace_reports_drops_during_its_time(apart: Apart) -> None:
    """The burst is the last traffic and comes before the trace's end. A trace that begins later
    reports no drops."""

    async def overflown() -> tuple[str, str, int]:
        network, sockets = Network(), open_all()
        icmp = sockets.receivers[Family.IPV4, PacketType.ICMP]
        icmp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        peer, prober = Peer(sockets), open_prober(sockets=sockets)
        said = []
        try:
            first, ended = await _one_trace(prober, wait_ms=300)
            peer.send(Family.IPV4, BURST)
            later, also_ended = await _one_trace(prober, wait_ms=50)
            for trace, done in ((later, also_ended), (first, ended)):
                await asyncio.wait_for(done, _PATIENCE_S)
                said.append(" ".join(map(sentence, trace.notices)))
            return said[1], said[0], prober.counters().overflows
        finally:
            prober.close()
            network.close()

    first, later, overflows = apart.do(lambda: asyncio.run(overflown()))
    assert f"no room for {overflows} packets" in first
    assert "no room" not in later
    assert 0 < overflows < BURST
