"""Send time stamps of a real kernel, with batches in which some packets cannot be sent. A packet
socket on the same device captures each packet just before the device stamps it, one after the
other. So each stamp must be between the capture of its packet and the next capture. Each probe has
its own TTL, which identifies it.
"""

from __future__ import annotations

import dataclasses
import errno
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from colotrace_agent.model import Flow, Probe
from colotrace_agent.network import clock, sender
from colotrace_agent.network.sender import Sender, Stamp
from colotrace_agent.network.sockets import SO_TIMESTAMPNS, open_all
from colotrace_agent.network.support import kernel_takes_numbers
from colotrace_agent.packets.formats import writer_for
from colotrace_proto.messages import Family as AddressFamily
from colotrace_proto.messages import PacketType
from needs import need
from unit.agent.made import flow

from lab import FAMILIES, Family, access, namespaces
from lab.apart import Apart

pytestmark = pytest.mark.lab

DEVICE, PEER, PEER_MAC = "out0", "out1", "02:00:00:00:00:02"
OWN = {4: "192.0.2.1", 6: "2001:db8::1"}
GOOD = {4: "192.0.2.2", 6: "2001:db8::2"}
MISSING = {4: ("192.0.2.77", "192.0.2.78"), 6: ("2001:db8::77", "2001:db8::78")}
NO_ROUTE = {4: "203.0.113.9", 6: "2001:db8:9::9"}
REFUSED_TTLS = "{ 3, 6, 9, 12, 15, 18, 21, 24, 27, 30 }"

_ETH_P_ALL = 3
_SECONDS_AND_NANOSECONDS = struct.Struct("=qq")


class Captured(NamedTuple):
    """A captured packet: its TTL and the time."""

    ttl: int
    at: int


class SteadyClock(clock.WallClock):
    """A constant offset, so that stamps and captures can be compared to the nanosecond."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed = super().offset()

    def offset(self) -> int:
        """The constant offset."""
        return self.fixed


class Bench:
    """A sender, and a capture on its device."""

    def __init__(self, apart: Apart, family: Family, *, numbered: bool) -> None:
        self.family = family
        self.left: list[Captured] = []
        self.stamps: dict[int, Stamp] = {}
        self._apart = apart
        self._numbered = numbered
        self.wall = SteadyClock()
        self._capture = apart.do(_capture)
        self._flows: dict[str, Flow] = {}
        self._ttl = 0
        self.sender = self._open()
        self._warm_up()
        # The test's first packet has number 0.
        self.sender.close()
        self.sender = self._open()

    def _open(self) -> Sender:
        opened = self._apart.do(open_all)
        kept = opened.senders.pop(AddressFamily(self.family))
        opened.close()
        return Sender(kept, self.wall, numbered=self._numbered)

    def _warm_up(self) -> None:
        """Wait until the kernel stamps packets, which it begins shortly after the request; until
        then captures have the time of the read."""
        for _ in range(100):
            before = clock.now()
            assert self.send(self.probe(GOOD[self.family], ttl=255)) == [0]
            sent = clock.now()
            time.sleep(0.01)  # so that the two times differ
            self.read()
            stamped = before <= self.left[-1].at <= sent
            self.left.clear()
            self.stamps.clear()
            if stamped:
                return
        raise AssertionError("the kernel does not stamp captured packets")

    def close(self) -> None:
        """Closes both sockets."""
        self.sender.close()
        self._capture.close()

    def filters(self, rule: str) -> None:
        """Load an nftables output rule; `ttl` is replaced by the family's name of that field."""
        rule = rule.replace("ttl", "ip ttl" if self.family == 4 else "ip6 hoplimit")
        chain = f"chain out {{ type filter hook output priority 0; {rule}; }}"
        rules = f"table inet stamps {{\n{chain}\n}}\n"
        self._apart.do(lambda: namespaces.load_filters(rules))

    def finds(self, neighbour: str) -> None:
        """Add a neighbour entry."""
        line = f"neigh replace {neighbour} lladdr {PEER_MAC} dev {DEVICE} nud permanent"
        self._apart.do(lambda: namespaces.batch([line]))

    def probe(
        self, target: str, *, length: int = 0, ttl: int | None = None
    ) -> tuple[Probe, bytearray]:
        """The next probe, or the one with a TTL; `length` is the size of its packet."""
        made = self._flows.setdefault(target, _flow(OWN[self.family], target))
        if ttl is None:
            self._ttl = ttl = self._ttl + 1
        probe = Probe(made, ttl - 1, ttl)
        packet = writer_for(made).write(probe.ordinal, probe.ttl)
        return probe, bytearray(packet.ljust(length, b"\0"))

    def send(self, *packets: tuple[Probe, bytearray]) -> list[int]:
        """Send one batch; returns each packet's errno, in order."""
        departures = self.sender.send(packets)
        assert [each.probe for each in departures] == [probe for probe, _ in packets]
        return [each.error for each in departures]

    def read(self) -> None:
        """Read stamps and captures."""
        for stamp in self.sender.stamps():
            assert stamp.probe.ttl not in self.stamps, "two stamps for one probe"
            self.stamps[stamp.probe.ttl] = stamp
        self.left += _read_all(self._capture, self.wall.fixed, self.family)

    def check(self, *, unstamped: frozenset[int] = frozenset()) -> None:
        """Check that every stamp belongs to its probe, and that every sent packet has one, except
        for some TTLs."""
        self.read()
        # In order of leaving: each is stamped before the next one begins.
        ends = [*(each.at for each in self.left[1:]), clock.now()]
        spans = {each.ttl: (each.at, end) for each, end in zip(self.left, ends, strict=True)}
        assert len(spans) == len(self.left), "a packet left twice"
        told = {ttl: stamp.at for ttl, stamp in self.stamps.items() if stamp.at is not None}
        assert told.keys() == self.stamps.keys(), "nobody has set the clock"
        assert told.keys() <= spans.keys(), "a stamp for a packet that never left"
        wrong = {
            ttl: (at - spans[ttl][0], spans[ttl][1] - at)
            for ttl, at in told.items()
            if not spans[ttl][0] <= at <= spans[ttl][1]
        }
        assert wrong == {}, "stamps outside of their packets' time"
        assert spans.keys() - told.keys() <= unstamped, "packets without a stamp"


def _flow(source: str, target: str) -> Flow:
    word = socket.AF_INET6 if ":" in target else socket.AF_INET
    made = flow(PacketType.UDP, source=socket.inet_pton(word, source))
    return dataclasses.replace(made, target=socket.inet_pton(word, target))


def _capture() -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind((DEVICE, _ETH_P_ALL))
    return sock


def _read_all(sock: socket.socket, offset: int, family: Family) -> list[Captured]:
    found = []
    while True:
        try:
            packet, control, _, address = sock.recvmsg(2_048, 128)
        except BlockingIOError:
            return found
        if address[2] != socket.PACKET_OUTGOING or not _is_probe(packet, family):
            continue
        seconds, nanoseconds = _SECONDS_AND_NANOSECONDS.unpack(control[0][2])
        at = seconds * 1_000_000_000 + nanoseconds + offset
        found.append(Captured(packet[8 if family == 4 else 7], at))


def _is_probe(packet: bytes, family: Family) -> bool:
    return packet[0] >> 4 == family and packet[9 if family == 4 else 6] == socket.IPPROTO_UDP


def _build() -> None:
    quiet = (("ipv6/conf/default/addr_gen_mode", "1"), ("ipv6/conf/default/accept_dad", "0"))
    namespaces.write_sysctls(quiet)
    lines = [
        f"link add {DEVICE} type veth peer name {PEER} address {PEER_MAC}",
        f"link set {PEER} up",
        f"link set {DEVICE} up",
        f"address add {OWN[4]}/24 dev {DEVICE}",
        f"address add {OWN[6]}/64 dev {DEVICE} nodad",
    ]
    good = (f"neigh add {GOOD[f]} lladdr {PEER_MAC} dev {DEVICE} nud permanent" for f in FAMILIES)
    namespaces.batch([*lines, *good])


@pytest.fixture
def apart() -> Iterator[Apart]:
    """A namespace with one device and one neighbour entry."""
    need(access.reason())
    with Apart() as made:
        made.do(_build)
        yield made


@pytest.fixture(params=[True, False], ids=["numbered", "counted"])
def numbered(request: pytest.FixtureRequest) -> bool:
    """Whether the sender chooses numbers, or the socket counts."""
    if request.param and not kernel_takes_numbers():
        pytest.skip("the kernel has no SCM_TS_OPT_ID: it is older than 6.13")
    return bool(request.param)


@pytest.fixture(params=FAMILIES, ids=["v4", "v6"])
def bench(
    request: pytest.FixtureRequest,
    apart: Apart,
    monkeypatch: pytest.MonkeyPatch,
    *,
    numbered: bool,
) -> Iterator[Bench]:
    """A sender in that namespace, with a capture that has kernel stamps."""
    monkeypatch.setattr(sender, "LARGEST_PROBE", 2_048)  # room for one that is too big
    made = Bench(apart, request.param, numbered=numbered)
    yield made
    made.close()


def test_each_packet_of_a_batch_has_its_stamp(bench: Bench) -> None:
    """Without failures, each packet has its own stamp, batch after batch."""
    for _ in range(3):
        packets = [bench.probe(GOOD[bench.family]) for _ in range(30)]
        assert bench.send(*packets) == [0] * 30
        bench.check()


def test_firewall_drops_every_third_packet(bench: Bench) -> None:
    """EPERM: such a packet uses a number and gets no stamp."""
    good = GOOD[bench.family]
    bench.filters(f"ttl {REFUSED_TTLS} drop")
    packets = [bench.probe(good, ttl=ttl) for ttl in range(1, 31)]
    assert bench.send(*packets) == [0, 0, errno.EPERM] * 10
    bench.check()
    # And one by one, with stamps read only at the end.
    for ttl in range(31, 61):
        refused = [bench.probe(good, ttl=3)] if ttl % 3 == 0 else []
        assert bench.send(*refused) == [errno.EPERM] * len(refused)
        assert bench.send(bench.probe(good, ttl=ttl)) == [0]
    bench.check()


def test_packet_that_succeeds_on_retry(bench: Bench) -> None:
    """The kernel reports no error in the middle of a batch, and the packet succeeds when
    retried."""
    bench.filters("numgen inc mod 4 2 drop")
    for _ in range(3):
        assert bench.send(*(bench.probe(GOOD[bench.family]) for _ in range(12))) == [0] * 12
        bench.check()


def test_missing_neighbour_gives_no_stamps(bench: Bench) -> None:
    """The kernel accepts the packets and waits for neighbour discovery: they use numbers without
    stamps."""
    missing, good = MISSING[bench.family][0], GOOD[bench.family]
    for _ in range(3):
        packets = [bench.probe(missing if turn % 3 == 1 else good) for turn in range(12)]
        assert bench.send(*packets) == [0] * 12
        bench.check()


@pytest.mark.parametrize("late", [False, True], ids=["before", "between"])
def test_late_neighbour_does_not_mix_up_stamps(bench: Bench, *, late: bool) -> None:
    """Packets sent after a reset with old numbers are not matched to other probes."""
    bench.filters("ttl 200 drop")
    first, second = MISSING[bench.family]
    bench.send(*(bench.probe(first) for _ in range(3)))
    assert bench.send(bench.probe(GOOD[bench.family], ttl=200)) == [errno.EPERM]
    # These have the same numbers as the earlier ones, and wait as well.
    bench.send(*(bench.probe(second) for _ in range(3)))
    early = frozenset(range(1, 7))
    for neighbour in (second, first) if late else (first, second):
        bench.finds(neighbour)
        bench.check(unstamped=early)
    assert bench.send(*(bench.probe(GOOD[bench.family]) for _ in range(9))) == [0] * 9
    bench.check(unstamped=early)


@pytest.mark.parametrize("wrong", ["too long", "no route"])
def test_packet_refused_in_the_middle_of_a_batch(bench: Bench, wrong: str) -> None:
    """EMSGSIZE and ENETUNREACH: such a packet uses no number."""
    good = GOOD[bench.family]

    def refused() -> tuple[Probe, bytearray]:
        if wrong == "too long":
            return bench.probe(good, length=1_600)
        return bench.probe(NO_ROUTE[bench.family])

    error = errno.EMSGSIZE if wrong == "too long" else errno.ENETUNREACH
    for _ in range(3):
        packets = [refused() if turn in (4, 5, 9) else bench.probe(good) for turn in range(12)]
        wanted = [error if turn in (4, 5, 9) else 0 for turn in range(12)]
        assert bench.send(*packets) == wanted
        bench.check()


def test_failures_of_every_kind_at_once(bench: Bench, *, numbered: bool) -> None:
    """Refused, unrouted, too long and unresolved packets in one batch; stamps are read only at the
    end. In each batch but the first, the first packet has the number of a packet that waits for a
    neighbour.
    """
    bench.filters("ttl 250 drop")
    contested = set()
    good, missing = GOOD[bench.family], MISSING[bench.family][0]
    for _ in range(8):
        packets = [
            *(bench.probe(target) for target in (good, missing, good)),
            bench.probe(good, ttl=250),
            *(bench.probe(target) for target in (good, NO_ROUTE[bench.family], good)),
            bench.probe(good, length=1_600),
            bench.probe(good),
        ]
        contested.add(packets[0][0].ttl)
        wanted = [0, 0, 0, errno.EPERM, 0, errno.ENETUNREACH, 0, errno.EMSGSIZE, 0]
        assert bench.send(*packets) == wanted
    bench.check(unstamped=frozenset() if numbered else frozenset(contested) - {1})


def test_local_error_is_not_a_stamp(bench: Bench) -> None:
    """EMSGSIZE is in the error queue, in a buffer that held a stamp before."""
    good, missing = GOOD[bench.family], MISSING[bench.family][0]
    bench.send(*(bench.probe(good) for _ in range(4)), bench.probe(good))
    bench.check()
    bench.send(bench.probe(good, length=1_600))
    waiting = bench.probe(missing)
    bench.send(*(bench.probe(good) for _ in range(4)), waiting, bench.probe(good, length=1_600))
    bench.check()
    assert waiting[0].ttl not in bench.stamps


def test_clock_set_while_stamps_wait(bench: Bench) -> None:
    """Waiting stamps cannot be converted, whichever component detected the step. Stamps of later
    probes can, even if this sender did not read for a long time."""
    good = GOOD[bench.family]
    for _ in range(2):
        bench.send(*(bench.probe(good) for _ in range(3)))
        bench.wall.steps += 1
        assert [stamp.at for stamp in bench.sender.stamps()] == [None] * 3
        bench.wall.steps += 1
        assert bench.sender.stamps() == []
        bench.send(*(bench.probe(good) for _ in range(3)))
        assert None not in [stamp.at for stamp in bench.sender.stamps()]
