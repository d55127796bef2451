"""The fast responder's answers, as scapy takes them apart, and its records of them."""

import ctypes
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import namespaces
from needs import need
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP, IPerror, in4_chksum
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    in6_chksum,
)
from scapy.packet import Packet, Raw
from scapy.utils import checksum
from scenario.tun import tun_missing

from bench.responder import Fate, Network, Responder, build, missing
from bench.responder.record import RECORD

DISTANCE = 5
ROOM = 1280
ENDS = {
    4: {"src": "192.0.2.2", "dst": "203.0.113.77"},
    6: {"src": "2001:db8:1:1::2", "dst": "2001:db8:ffff::77"},
}
PAYLOAD = Raw(bytes(range(41)))  # odd on purpose: the checksum's last byte stands alone

Answer = Callable[..., tuple[Fate, Packet | None, int]]


class CNetwork(ctypes.Structure):
    """`struct network` of answer.h."""

    _fields_ = (
        ("distance", ctypes.c_uint32),
        ("silent", ctypes.c_uint8 * 256),
        ("tcp_open", ctypes.c_uint8),
    )


@pytest.fixture(scope="module")
def answer() -> Answer:
    """`answer.c` itself: a packet to it, (fate, the reply as scapy has it, the hop) back."""
    need(missing())
    function = ctypes.CDLL(str(build.library())).answer

    def ask(
        packet: Packet | bytes, *, silent: tuple[int, ...] = (), tcp_open: bool = False
    ) -> tuple[Fate, Packet | None, int]:
        network = CNetwork(DISTANCE, (ctypes.c_uint8 * 256)(), tcp_open)
        for ttl in silent:
            network.silent[ttl] = 1
        data, reply = bytes(packet), ctypes.create_string_buffer(ROOM)
        length, hop = ctypes.c_size_t(), ctypes.c_uint()
        fate = Fate(
            function(
                ctypes.byref(network),
                data,
                ctypes.c_size_t(len(data)),
                reply,
                ctypes.byref(length),
                ctypes.byref(hop),
            )
        )
        told = dissected(reply.raw[: length.value]) if length.value else None
        return fate, told, hop.value

    return ask


def probe(family: int, layer: Packet, *, ttl: int) -> Packet:
    """A probe to the target, as scapy makes it."""
    if family == 4:
        return IP(**ENDS[4], ttl=ttl, id=0x1234) / layer
    return IPv6(**ENDS[6], hlim=ttl, fl=7) / layer


def layers(family: int) -> dict[str, Packet]:
    """One of each packet that a tracer sends."""
    echo = ICMP(id=7, seq=9) if family == 4 else ICMPv6EchoRequest(id=7, seq=9)
    return {
        "icmp": echo / PAYLOAD,
        "udp": UDP(sport=50000, dport=33434) / PAYLOAD,
        "tcp": TCP(sport=50000, dport=443, seq=0xFFFFFFFF, flags="S"),
        "gre": GRE(key_present=1, key=5) / PAYLOAD,
    }


def dissected(data: bytes) -> Packet:
    """What scapy makes of a reply, having found its lengths and checksums right."""
    if data[0] >> 4 == 4:
        packet = IP(data)
        assert packet.len == len(data)
        assert checksum(data[:20]) == 0
        payload = data[20:]
        total = checksum(payload) if packet.proto == 1 else in4_chksum(6, packet, payload)
    else:
        packet = IPv6(data)
        payload = data[40:]
        assert packet.plen == len(payload)
        total = in6_chksum(packet.nh, packet, payload)
    assert total == 0
    return packet


def quote(reply: Packet) -> bytes:
    """What an ICMP error quotes."""
    return bytes(reply)[28:] if reply.version == 4 else bytes(reply)[48:]


def test_missing_compiler_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Debian's names."""
    monkeypatch.setenv("PATH", "")
    assert "gcc libc6-dev" in str(missing())


@pytest.mark.parametrize("kind", ["icmp", "udp", "tcp", "gre"])
@pytest.mark.parametrize("family", [4, 6])
def test_routers_answer_with_time_exceeded(answer: Answer, family: int, kind: str) -> None:
    """From their own addresses, with the whole probe as it arrived, its TTL used up."""
    for ttl in range(1, DISTANCE + 1):
        sent = probe(family, layers(family)[kind], ttl=ttl)
        fate, reply, hop = answer(sent)
        assert (fate, hop) == (Fate.TIME_EXCEEDED, ttl)
        assert reply is not None
        if family == 4:
            assert (reply.src, reply.dst) == (f"198.18.{ttl}.1", ENDS[4]["src"])
            assert (reply[ICMP].type, reply[ICMP].code) == (11, 0)
            assert checksum(quote(reply)[:20]) == 0
        else:
            assert (reply.src, reply.dst) == (f"2001:db8:{ttl:x}::1", ENDS[6]["src"])
            assert reply[ICMPv6TimeExceeded].code == 0
        arrived = sent.copy()
        arrived[0].setfieldval("ttl" if family == 4 else "hlim", 1)
        assert quote(reply) == bytes(arrived)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("ttl", [DISTANCE + 1, 40, 255])
def test_target_answers_echo_requests(answer: Answer, family: int, ttl: int) -> None:
    """With identifier, sequence and payload."""
    fate, reply, hop = answer(probe(family, layers(family)["icmp"], ttl=ttl))
    assert (fate, hop) == (Fate.REACHED, DISTANCE + 1)
    assert reply is not None
    assert reply.src == ENDS[family]["dst"]
    echo = reply[ICMP if family == 4 else ICMPv6EchoReply]
    assert (echo.type, echo.code) == ((0, 0) if family == 4 else (129, 0))
    assert (echo.id, echo.seq) == (7, 9)
    assert bytes(reply).endswith(PAYLOAD.load)


@pytest.mark.parametrize(("kind", "code4"), [("udp", 3), ("gre", 2)])
@pytest.mark.parametrize("family", [4, 6])
def test_target_refuses_ports_and_protocols(
    answer: Answer, family: int, kind: str, code4: int
) -> None:
    """The quote has the rest of the TTL."""
    fate, reply, _ = answer(probe(family, layers(family)[kind], ttl=DISTANCE + 4))
    assert fate is Fate.REACHED
    assert reply is not None
    assert reply.src == ENDS[family]["dst"]
    if family == 4:
        assert (reply[ICMP].type, reply[ICMP].code) == (3, code4)
        assert reply[IPerror].ttl == 4
    elif kind == "udp":
        assert reply[ICMPv6DestUnreach].code == 4
        assert quote(reply)[7] == 4
    else:
        problem = reply[ICMPv6ParamProblem]
        assert (problem.code, problem.ptr) == (1, 6)  # the next header field (RFC 4443, 3.4)


@pytest.mark.parametrize(("tcp_open", "flags"), [(False, "RA"), (True, "SA")])
@pytest.mark.parametrize("family", [4, 6])
def test_target_accepts_or_resets_segments(
    answer: Answer, family: int, flags: str, *, tcp_open: bool
) -> None:
    """From the port asked; it acknowledges the SYN's number plus one, modulo 2^32."""
    _, reply, _ = answer(probe(family, layers(family)["tcp"], ttl=64), tcp_open=tcp_open)
    assert reply is not None
    segment = reply[TCP]
    assert (segment.sport, segment.dport) == (443, 50000)
    assert (str(segment.flags), segment.ack, segment.dataofs) == (flags, 0, 5)


def test_quote_of_a_long_packet_is_bounded(answer: Answer) -> None:
    """To 576 bytes (RFC 1812) or 1280 bytes (RFC 4443) in all."""
    for family, longest in ((4, 576), (6, 1280)):
        sent = probe(family, UDP(sport=50000, dport=33434) / Raw(bytes(1400)), ttl=2)
        _, reply, _ = answer(sent)
        assert reply is not None
        assert len(bytes(reply)) == longest


def test_quote_includes_options(answer: Answer) -> None:
    """The inner header keeps its length."""
    sent = IP(**ENDS[4], ttl=1, options=b"\x94\x04\0\0") / layers(4)["udp"]
    _, reply, _ = answer(sent)
    assert reply is not None
    assert quote(reply) == bytes(sent)


def test_silent_router_and_silent_target(answer: Answer) -> None:
    """Of a router, and of the target alone."""
    for ttl, silent in ((3, (3,)), (DISTANCE + 1, (0,))):
        sent = probe(4, layers(4)["icmp"], ttl=ttl)
        assert answer(sent, silent=silent) == (Fate.SILENT, None, ttl)
        assert answer(sent)[0] is not Fate.SILENT


@pytest.mark.parametrize("kind", ["icmp", "udp", "tcp"])
@pytest.mark.parametrize("family", [4, 6])
def test_packet_with_a_wrong_checksum_is_dropped(answer: Answer, family: int, kind: str) -> None:
    """A tracer that computes it wrongly gets no answer."""
    right = bytes(probe(family, layers(family)[kind], ttl=1))
    wrong = right[:-1] + bytes([right[-1] ^ 1])
    assert answer(wrong) == (Fate.WRONG_CHECKSUM, None, 0)


def test_other_packets_are_dropped(answer: Answer) -> None:
    """A reset, an answer, a broken header, an empty packet."""
    reset = probe(4, TCP(sport=1, dport=2, flags="R"), ttl=1)
    error = probe(4, ICMP(type=11) / layers(4)["udp"], ttl=1)
    whole = bytes(probe(4, layers(4)["udp"], ttl=1))
    assert [answer(packet)[0] for packet in (reset, error)] == [Fate.UNRELATED] * 2
    for end in range(len(whole)):
        assert answer(whole[:end])[0] is Fate.MALFORMED
    assert answer(whole[:8] + b"\x02" + whole[9:])[0] is Fate.WRONG_CHECKSUM


@pytest.fixture(scope="module")
def running() -> Iterator[Responder]:
    """One that holds each reply for 2 ms, with room for 64 records."""
    need(missing() or tun_missing())
    network = Network(distance=3, delay_ns=1_000_000, per_hop_ns=500_000)
    with Responder(network, records=64) as responder:
        yield responder


def test_records_are_laid_out_as_in_c() -> None:
    """128 bytes each."""
    assert RECORD.itemsize == 128


@pytest.mark.tun
def test_each_probe_is_recorded(running: Responder) -> None:
    """With its times of reading and answering, on both clocks, and its first bytes."""
    before, wall = time.monotonic_ns(), time.time_ns()
    since = running.count
    done = running.run(["ping", "-n", "-c", "2", "-i", "0.01", "-t", "2", running.target])
    assert "Time to live exceeded" in done.stdout
    done = running.run(["ping", "-n", "-6", "-c", "1", "2001:db8:ffff::1"])
    assert " 0% packet loss" in done.stdout
    records = running.records(since=since)
    assert records["hop"].tolist() == [2, 2, 4]
    assert records["fate"].tolist() == [Fate.TIME_EXCEEDED] * 2 + [Fate.REACHED]
    assert (records["packet"][:, 0] >> 4).tolist() == [4, 4, 6]
    held = records["planned_mono"] - records["read_mono"]
    assert held.tolist() == [2_000_000, 2_000_000, 3_000_000]
    assert (records["write_mono"] >= records["planned_mono"]).all()
    assert (records["written_mono"] > records["write_mono"]).all()
    assert (records["read_mono"] > before).all()
    assert (records["read_wall"] > wall).all()
    clocks = records["write_wall"] - records["write_mono"]
    assert abs(clocks - (records["read_wall"] - records["read_mono"])).max() < 50_000_000


@pytest.mark.tun
def test_tally_continues_after_the_last_record(running: Responder) -> None:
    """More probes than there is room for: all are answered."""
    before = running.tally()
    running.run(["ping", "-n", "-q", "-c", "100", "-i", "0.002", running.target])
    after = running.tally()
    assert after.fates[Fate.REACHED] - before.fates[Fate.REACHED] == 100
    assert after.written - before.written == 100
    assert len(running.records()) == 64
    assert running.dropped() == 0


@pytest.mark.tun
def test_responder_leaves_no_namespace() -> None:
    """It ends with its input."""
    need(missing() or tun_missing())
    with Responder(Network()) as responder:
        inside = responder.run(["readlink", "/proc/self/ns/net"]).stdout.strip()
        assert inside.startswith("net:[")
        assert inside != str(Path("/proc/self/ns/net").readlink())
    assert inside not in namespaces.in_use()
