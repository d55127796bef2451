"""The packet filters, run by a small interpreter of classic BPF, and by the kernel."""

import socket

import pytest
from colotrace_agent.model import PORTS, Flow, Heard
from colotrace_agent.network.filters import attach
from colotrace_agent.packets.bpf import Instruction
from colotrace_agent.packets.decode import decode
from colotrace_agent.packets.formats import writer_for
from colotrace_agent.packets.gre import decode_gre_packet, gre_answers
from colotrace_agent.packets.tcp import tcp_answers
from colotrace_agent.packets.udp import udp_answers
from colotrace_proto.messages import Family, PacketType
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.packet import Packet, Raw
from unit.agent.made import marks

OUTSIDE = [0, 53, PORTS.start - 1, PORTS.stop, 65_535]
INSIDE = [PORTS.start, PORTS.start + 7, PORTS.stop - 1]


def kept(program: list[Instruction], packet: bytes) -> bool:
    """What linux/filter.h says of the program; a load beyond the packet's end drops it."""
    accumulator = index = at = 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        match code:
            case 0xB1:
                if k >= len(packet):
                    return False
                index = 4 * (packet[k] & 15)
            case 0x28 | 0x48:
                place = k + (index if code == 0x48 else 0)
                if place + 2 > len(packet):
                    return False
                accumulator = int.from_bytes(packet[place : place + 2], "big")
            case 0x30 | 0x50:
                place = k + (index if code == 0x50 else 0)
                if place >= len(packet):
                    return False
                accumulator = packet[place]
            case 0x15:
                at += if_true if accumulator == k else if_false
            case 0x35:
                at += if_true if accumulator >= k else if_false
            case 0x45:
                at += if_true if accumulator & k else if_false
            case 0x54:
                accumulator &= k
            case 0x06:
                return k > 0
            case _:
                raise AssertionError(f"an instruction that is not known here: {code:#x}")


def packets(transport: TCP | UDP) -> list[tuple[bool, bytes]]:
    """The transport as IPv4's raw sockets give it, with and without options, and as IPv6's do."""
    plain = IP(src="192.0.2.1", dst="192.0.2.2")
    with_options = IP(src="192.0.2.1", dst="192.0.2.2", options=[IPOption_Router_Alert()])
    whole = bytes(plain / transport)
    return [(True, whole), (True, bytes(with_options / transport)), (False, whole[20:])]


@pytest.mark.parametrize("port", INSIDE + OUTSIDE)
@pytest.mark.parametrize(
    ("flags", "answers"),
    [
        ("SA", True),
        ("R", True),
        ("RA", True),
        ("SR", True),
        ("S", False),
        ("A", True),
        ("PA", False),
        ("FA", False),
        ("F", False),
    ],
)
def test_the_tcp_filter_keeps_what_answers_a_syn_of_ours(
    flags: str, answers: bool, port: int
) -> None:
    """SYN-ACKs, resets and bare ACKs to the agent's ports, behind an IP header of any length."""
    for ip_header, packet in packets(TCP(sport=80, dport=port, flags=flags)):
        assert kept(tcp_answers(ip_header=ip_header), packet) == (answers and port in PORTS)


@pytest.mark.parametrize("count", [1, 2, 32, 33, 64])
def test_filters_are_for_the_ports_in_use(count: int) -> None:
    """Of a few each one; of many, all between the lowest and the highest."""
    ports = [PORTS.start + 2 * number for number in range(count)]
    between = range(ports[0], ports[-1] + 1)
    for port in range(PORTS.start - 1, PORTS.start + 2 * count + 2):
        wanted = port in (between if count > 32 else ports)
        for ip_header, packet in packets(TCP(sport=80, dport=port, flags="A")):
            assert kept(tcp_answers(ip_header=ip_header, ports=ports), packet) == wanted
            assert kept_by_kernel(tcp_answers(ip_header=ip_header, ports=ports), packet) == wanted
        for ip_header, packet in packets(UDP(sport=53, dport=port)):
            assert kept(udp_answers(ip_header=ip_header, ports=ports), packet) == wanted


@pytest.mark.parametrize("port", INSIDE + OUTSIDE)
def test_the_udp_filter_keeps_what_comes_to_our_ports(port: int) -> None:
    """Whatever it says."""
    for ip_header, packet in packets(UDP(sport=53, dport=port)):
        assert kept(udp_answers(ip_header=ip_header), packet) == (port in PORTS)


@given(st.binary(max_size=60))
def test_the_filters_take_any_bytes(data: bytes) -> None:
    """They end, and keep nothing that is too short to be ours."""
    for program in (tcp_answers, udp_answers):
        for ip_header in (True, False):
            found = kept(program(ip_header=ip_header), data)
            assert not (found and len(data) < 4)


def test_the_kernel_takes_the_program(request: pytest.FixtureRequest) -> None:
    """Attached to a datagram socket, for which nobody needs rights."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    request.addfinalizer(sock.close)
    attach(sock, tcp_answers(ip_header=True))


def kept_by_kernel(program: list[Instruction], packet: bytes) -> bool:
    """What this kernel says, on a datagram socket that sees what a raw one would."""
    sending, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sending, receiving:
        attach(receiving, program)
        receiving.setblocking(False)
        sending.send(packet)
        try:
            return receiving.recv(4_096) == packet
        except BlockingIOError:
            return False


def gre_flow(family: Family) -> Flow:
    """A flow to the host itself."""
    address = bytes([192, 0, 2, 1]) if family is Family.IPV4 else bytes(15) + b"\1"
    return Flow(
        packet_type=PacketType.GRE,
        source=address,
        target=address,
        identifier=0xC0107ACE,
        port=0,
        first_number=4_000,
        marks=marks(),
    )


def heard(packet: bytes, *, ip_header: bool) -> bool:
    """Whether the decoder makes an answer of it."""
    source = gre_flow(Family.IPV6).source
    decoded = (
        decode(Family.IPV4, PacketType.GRE, packet)
        if ip_header
        else decode_gre_packet(packet, source)
    )
    return isinstance(decoded, Heard)


PAYLOAD = Raw(bytes(range(16)))
ECHOES = [
    IP(src="192.0.2.9", dst="192.0.2.1") / ICMP(type=0, id=7) / PAYLOAD,
    IP(src="192.0.2.9", dst="192.0.2.1", options=[IPOption_Router_Alert()]) / ICMP(type=0),
    IPv6(src="2001:db8::9", dst="2001:db8::1") / ICMPv6EchoReply(id=7, data=bytes(16)),
]
HEADERS = [
    GRE(chksum_present=c, key_present=k, seqnum_present=s, **({"key": 5} if k else {}))
    for c in (0, 1)
    for k in (0, 1)
    for s in (0, 1)
]
KEYED = GRE(key_present=1, key=5)
# With its addresses, since scapy asks the network for a missing one.
ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
INNER, INNER6 = IP(src="10.0.0.9", dst="10.0.0.1"), IPv6(src="fd00::9", dst="fd00::1")
OTHERS = {
    "TCP without a key": GRE() / INNER / TCP(),
    "TCP with a key": KEYED / INNER / TCP() / PAYLOAD,
    "TCP in IPv6": KEYED / INNER6 / TCP() / PAYLOAD,
    "UDP in IPv6": KEYED / INNER6 / UDP() / PAYLOAD,
    "a ping": KEYED / INNER / ICMP(type=8) / Raw(bytes(56)),
    "a ping in IPv6": KEYED / INNER6 / ICMPv6EchoRequest(data=bytes(56)),
    "an error": KEYED / INNER / ICMP(type=11) / INNER / UDP(),
    "a later fragment": KEYED / IP(frag=64, proto=1) / Raw(bytes(64)),
    "Ethernet": GRE(key_present=1, key=5, proto=0x6558) / ETHERNET / ECHOES[0],
    "ERSPAN": GRE(seqnum_present=1, proto=0x88BE) / Raw(bytes(8)) / ETHERNET / ECHOES[0],
    "a keepalive": GRE(proto=0),
    "MPLS": GRE(proto=0x8847) / Raw(bytes(64)),
    "PPTP": Raw(bytes.fromhex("3081880b")) / Raw(bytes(64)),
    "routing": Raw(bytes.fromhex("60000800")) / Raw(bytes(8)) / ECHOES[0],
}


def outside(inside: Packet) -> list[tuple[bool, bytes]]:
    """A GRE packet as IPv4's raw sockets give it, with and without options, and as IPv6's do."""
    plain = IP(src="192.0.2.9", dst="192.0.2.1", proto=47)
    with_options = plain.copy()
    with_options.options = [IPOption_Router_Alert()]
    data = Raw(bytes(inside))
    return [(True, bytes(plain / data)), (True, bytes(with_options / data)), (False, bytes(inside))]


@pytest.mark.parametrize("gre", HEADERS)
@pytest.mark.parametrize("echo", ECHOES)
def test_the_gre_filter_keeps_echo_replies_of_any_tunnel(gre: Packet, echo: Packet) -> None:
    """Whatever the tunnel's header has, and whichever family is in which."""
    for ip_header, packet in outside(gre / echo):
        assert heard(packet, ip_header=ip_header)
        assert kept_by_kernel(gre_answers(ip_header=ip_header), packet)


@pytest.mark.parametrize("family", list(Family))
def test_the_gre_filter_keeps_our_own_probes(family: Family) -> None:
    """To the host that sent them."""
    packet = bytes(writer_for(gre_flow(family)).write(7, 1))
    if family is Family.IPV6:
        packet = packet[40:]
    assert heard(packet, ip_header=family is Family.IPV4)
    assert kept_by_kernel(gre_answers(ip_header=family is Family.IPV4), packet)


@pytest.mark.parametrize("inside", OTHERS.values(), ids=OTHERS)
def test_the_gre_filter_drops_what_the_hosts_tunnels_carry(inside: Packet) -> None:
    """Other flags, other protocols, other messages."""
    for ip_header, packet in outside(inside):
        assert not heard(packet, ip_header=ip_header)
        assert not kept_by_kernel(gre_answers(ip_header=ip_header), packet)


@given(
    st.sampled_from([*(bytes(HEADERS[-1] / echo) for echo in ECHOES), bytes(KEYED / ECHOES[0])]),
    st.integers(0, 60),
    st.integers(0, 255),
    st.integers(0, 120),
)
def test_the_gre_filter_drops_no_answer(packet: bytes, at: int, value: int, size: int) -> None:
    """Whatever the decoder takes passes, also of packets that were changed and cut."""
    changed = (packet[:at] + bytes([value]) + packet[at + 1 :])[:size]
    if heard(changed, ip_header=False):
        assert kept_by_kernel(gre_answers(ip_header=False), changed)


@given(st.binary(max_size=60))
def test_the_kernel_and_the_interpreter_agree(data: bytes) -> None:
    """What is too short for a load is dropped by both."""
    for program in (tcp_answers, udp_answers):
        for ip_header in (True, False):
            wanted = kept(program(ip_header=ip_header), data)
            assert kept_by_kernel(program(ip_header=ip_header), data) == wanted
