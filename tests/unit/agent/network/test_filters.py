"""The packet filters, run by a small interpreter of classic BPF, and taken by the kernel."""

import socket

import pytest
from colotrace_agent.engine.identity import PORTS
from colotrace_agent.network.filters import Instruction, keep_tcp_answers, tcp_answers, udp_answers
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert

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
        ("A", False),
        ("F", False),
    ],
)
def test_the_tcp_filter_keeps_what_answers_a_syn_of_ours(
    flags: str, answers: bool, port: int
) -> None:
    """SYN-ACKs and resets to the agent's ports, behind an IP header of any length."""
    for ip_header, packet in packets(TCP(sport=80, dport=port, flags=flags)):
        assert kept(tcp_answers(ip_header=ip_header), packet) == (answers and port in PORTS)


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
    keep_tcp_answers(sock)
