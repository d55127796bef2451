"""What the kernel keeps from the receiving sockets.

Only an optimisation: whatever passes is still decoded and matched, and nothing rests on a packet
having been kept away.
"""

import ctypes
import socket
import struct

from colotrace_agent.engine.identity import PORTS

_SOL_RAW = 255
_ICMP_FILTER = 1
_ICMP6_FILTER = 1
_SO_ATTACH_FILTER = 26

_ICMP_WANTED = (0, 3, 11, 12)
_ICMP6_WANTED = (1, 2, 3, 4, 129)

# Classic BPF (linux/filter.h): load half-word or byte at a fixed place or behind an IP header of
# any length, compare, return.
_LDX_HEADER_LENGTH = 0xB1
_LD_HALF_BEHIND, _LD_BYTE_BEHIND = 0x48, 0x50
_LD_HALF_AT, _LD_BYTE_AT = 0x28, 0x30
_JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT = 0x15, 0x35, 0x45
_AND, _RETURN = 0x54, 0x06
_WHOLE_PACKET = 0x40000

_DESTINATION_PORT, _FLAGS = 2, 13
_RST, _SYN_ACK = 0x04, 0x12

Instruction = tuple[int, int, int, int]


def keep_icmp_answers(sock: socket.socket) -> None:
    """Lets a raw ICMP socket see echo replies and errors only."""
    blocked = ~sum(1 << kind for kind in _ICMP_WANTED) & 0xFFFF_FFFF
    sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked))


def keep_icmp6_answers(sock: socket.socket) -> None:
    """Lets a raw ICMPv6 socket see echo replies and errors only (RFC 3542 section 3.2)."""
    blocked = [0xFFFF_FFFF] * 8
    for kind in _ICMP6_WANTED:
        blocked[kind >> 5] &= ~(1 << (kind & 31))
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))


def keep_tcp_answers(sock: socket.socket) -> None:
    """Lets a raw TCP socket see resets and SYN-ACKs to the agent's own ports only."""
    _attach(sock, tcp_answers(ip_header=sock.family == socket.AF_INET))


def keep_udp_answers(sock: socket.socket) -> None:
    """Lets a raw UDP socket see datagrams to the agent's own ports only."""
    _attach(sock, udp_answers(ip_header=sock.family == socket.AF_INET))


def udp_answers(*, ip_header: bool) -> list[Instruction]:
    """The filter's program, as `tcp_answers`."""
    return [
        *_load_destination_port(ip_header=ip_header),
        (_JUMP_AT_LEAST, 0, 2, PORTS.start),
        (_JUMP_AT_LEAST, 1, 0, PORTS.stop),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_RETURN, 0, 0, 0),
    ]


def tcp_answers(*, ip_header: bool) -> list[Instruction]:
    """The filter's program; a raw IPv4 socket sees the IP header, an IPv6 one does not."""
    load_byte = _LD_BYTE_BEHIND if ip_header else _LD_BYTE_AT
    return [
        *_load_destination_port(ip_header=ip_header),
        (_JUMP_AT_LEAST, 0, 6, PORTS.start),
        (_JUMP_AT_LEAST, 5, 0, PORTS.stop),
        (load_byte, 0, 0, _FLAGS),
        (_JUMP_ANY_BIT, 2, 0, _RST),
        (_AND, 0, 0, _SYN_ACK),
        (_JUMP_EQUAL, 0, 1, _SYN_ACK),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_RETURN, 0, 0, 0),
    ]


def _load_destination_port(*, ip_header: bool) -> list[Instruction]:
    if ip_header:
        return [(_LDX_HEADER_LENGTH, 0, 0, 0), (_LD_HALF_BEHIND, 0, 0, _DESTINATION_PORT)]
    return [(_LD_HALF_AT, 0, 0, _DESTINATION_PORT)]


def _attach(sock: socket.socket, program: list[Instruction]) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    # struct sock_fprog: the number of instructions, and where they are.
    pointer = struct.pack("HL", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
