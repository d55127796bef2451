"""What the kernel keeps from the receiving sockets.

Only an optimisation: whatever passes is still decoded and matched, and nothing rests on a packet
having been kept away.
"""

import ctypes
import socket
import struct
from collections.abc import Collection

from colotrace_agent.engine.identity import PORTS
from colotrace_agent.packets.payload import PAYLOAD
from colotrace_agent.packets.tcp import ACK, FLAGS, RST, SYN

_SOL_RAW = 255
_ICMP_FILTER = 1
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
# GRE's headers have many lengths, which are added up in the index register.
_LD_CONSTANT, _LDX_CONSTANT, _LD_WORD_BEHIND = 0x00, 0x01, 0x40
_STORE, _LD_STORED = 0x02, 0x60
_ADD_INDEX, _TO_INDEX, _SHIFT_LEFT, _SHIFT_RIGHT = 0x0C, 0x07, 0x64, 0x74
_JUMP = 0x05

_DESTINATION_PORT, _FLAGS = 2, 13

# What `packets.gre` reads; all but the first two lie behind the GRE header's first 4 bytes and
# what its flags add, and the last two behind the inner IP header too.
_GRE_FLAGS, _ETHERTYPE = 0, 2
_VERSION, _FRAGMENT, _PROTOCOL, _NEXT_HEADER = 4, 4 + 6, 4 + 9, 4 + 6
_ECHO_TYPE, _PAYLOAD_END = 4, 4 + 8 + len(PAYLOAD) - 4
_UNKNOWN_GRE_FLAGS, _KEY_ALONE = 0x4FFF, 0x2000
_EACH = 32  # ports that are asked for one by one
_DROP = 255
"""Where a test that fails jumps, until it is known how far that is."""

Instruction = tuple[int, int, int, int]


def keep_icmp_answers(sock: socket.socket) -> None:
    """Lets a raw ICMP socket see echo replies and errors only."""
    blocked = ~sum(1 << kind for kind in _ICMP_WANTED) & 0xFFFF_FFFF
    sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked))


def keep_icmp6_answers(sock: socket.socket) -> None:
    """Lets a raw ICMPv6 socket see echo replies and errors only."""
    kinds = len(_ICMP6_WANTED)
    program = [
        (_LD_BYTE_AT, 0, 0, 0),
        *((_JUMP_EQUAL, kinds - at, 0, kind) for at, kind in enumerate(_ICMP6_WANTED)),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _WHOLE_PACKET),
    ]
    attach(sock, program)


def keep_tcp_answers(sock: socket.socket, ports: Collection[int] = PORTS) -> None:
    """Lets a raw TCP socket see resets, SYN-ACKs and bare ACKs to these ports only."""
    attach(sock, tcp_answers(ip_header=sock.family == socket.AF_INET, ports=ports))


def keep_udp_answers(sock: socket.socket, ports: Collection[int] = PORTS) -> None:
    """Lets a raw UDP socket see datagrams to these ports only."""
    attach(sock, udp_answers(ip_header=sock.family == socket.AF_INET, ports=ports))


def keep_gre_answers(sock: socket.socket) -> None:
    """Lets a raw GRE socket see echo replies inside, and probes that an agent sent, only."""
    attach(sock, gre_answers(ip_header=sock.family == socket.AF_INET))


def udp_answers(*, ip_header: bool, ports: Collection[int] = PORTS) -> list[Instruction]:
    """The filter's program, as `tcp_answers`."""
    program = [
        *_load_destination_port(ip_header=ip_header),
        *_one_of(ports),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_RETURN, 0, 0, 0),
    ]
    return _with_drops(program)


def tcp_answers(*, ip_header: bool, ports: Collection[int] = PORTS) -> list[Instruction]:
    """The filter's program; a raw IPv4 socket sees the IP header, an IPv6 one does not."""
    load_byte = _LD_BYTE_BEHIND if ip_header else _LD_BYTE_AT
    program = [
        *_load_destination_port(ip_header=ip_header),
        *_one_of(ports),
        (load_byte, 0, 0, _FLAGS),
        (_JUMP_ANY_BIT, 4, 0, RST),
        (_AND, 0, 0, FLAGS),
        (_JUMP_EQUAL, 2, 0, ACK),
        (_AND, 0, 0, SYN | ACK),
        (_JUMP_EQUAL, 0, _DROP, SYN | ACK),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_RETURN, 0, 0, 0),
    ]
    return _with_drops(program)


def _one_of(ports: Collection[int]) -> list[Instruction]:
    """Drops what is loaded unless it is one of these; of many, unless it is between them."""
    if len(ports) > _EACH:
        return [
            (_JUMP_AT_LEAST, 0, _DROP, min(ports)),
            (_JUMP_AT_LEAST, _DROP, 0, max(ports) + 1),
        ]
    *others, last = ports
    passes = [(_JUMP_EQUAL, len(others) - at, 0, port) for at, port in enumerate(others)]
    return [*passes, (_JUMP_EQUAL, 0, _DROP, last)]


def gre_answers(*, ip_header: bool) -> list[Instruction]:
    """The filter's program: what `packets.gre` may take for an answer, whichever tunnel's.

    An agent's probe, which answers by its arrival where the target is its own host, is known by
    its flags and by the end of its payload. The host's own tunnels carry neither as a rule.
    """
    inner_ipv4 = [
        (_LD_BYTE_BEHIND, 0, 0, _PROTOCOL),
        (_JUMP_EQUAL, 0, _DROP, socket.IPPROTO_ICMP),
        (_LD_HALF_BEHIND, 0, 0, _FRAGMENT),
        (_JUMP_ANY_BIT, _DROP, 0, 0x1FFF),
        (_LD_BYTE_BEHIND, 0, 0, _VERSION),
        (_AND, 0, 0, 0x0F),
        (_SHIFT_LEFT, 0, 0, 2),
    ]
    inner_ipv6 = [
        (_JUMP_EQUAL, 0, _DROP, 6),
        (_LD_BYTE_BEHIND, 0, 0, _NEXT_HEADER),
        (_JUMP_EQUAL, 0, _DROP, socket.IPPROTO_ICMPV6),
        (_LD_CONSTANT, 0, 0, 40),
    ]
    program = [
        (_LDX_HEADER_LENGTH if ip_header else _LDX_CONSTANT, 0, 0, 0),
        (_LD_HALF_BEHIND, 0, 0, _ETHERTYPE),
        (_JUMP_EQUAL, 1, 0, 0x0800),
        (_JUMP_EQUAL, 0, _DROP, 0x86DD),
        (_LD_HALF_BEHIND, 0, 0, _GRE_FLAGS),
        (_JUMP_ANY_BIT, _DROP, 0, _UNKNOWN_GRE_FLAGS),
        (_STORE, 0, 0, 0),
        # Checksum, key and sequence: each flag, shifted to mean 4, adds as many bytes.
        *(step for places in (13, 11, 10) for step in _add_flag(places=places)),
        (_LD_BYTE_BEHIND, 0, 0, _VERSION),
        (_SHIFT_RIGHT, 0, 0, 4),
        (_JUMP_EQUAL, 0, len(inner_ipv4) + 1, 4),
        *inner_ipv4,
        (_JUMP, 0, 0, len(inner_ipv6)),
        *inner_ipv6,
        (_ADD_INDEX, 0, 0, 0),
        (_TO_INDEX, 0, 0, 0),
        (_LD_BYTE_BEHIND, 0, 0, _ECHO_TYPE),
        (_JUMP_EQUAL, 7, 0, 0),
        (_JUMP_EQUAL, 6, 0, 129),
        (_JUMP_EQUAL, 1, 0, 8),
        (_JUMP_EQUAL, 0, _DROP, 128),
        (_LD_STORED, 0, 0, 0),
        (_JUMP_EQUAL, 0, _DROP, _KEY_ALONE),
        (_LD_WORD_BEHIND, 0, 0, _PAYLOAD_END),
        (_JUMP_EQUAL, 0, _DROP, int.from_bytes(PAYLOAD[-4:], "big")),
        (_RETURN, 0, 0, _WHOLE_PACKET),
        (_RETURN, 0, 0, 0),
    ]
    return _with_drops(program)


def _add_flag(*, places: int) -> list[Instruction]:
    return [
        (_LD_STORED, 0, 0, 0),
        (_SHIFT_RIGHT, 0, 0, places),
        (_AND, 0, 0, 4),
        (_ADD_INDEX, 0, 0, 0),
        (_TO_INDEX, 0, 0, 0),
    ]


def _with_drops(program: list[Instruction]) -> list[Instruction]:
    """The program with every jump to `_DROP` led to its last instruction."""
    last = len(program) - 1
    return [
        (
            code,
            last - at - 1 if if_true == _DROP else if_true,
            last - at - 1 if if_false == _DROP else if_false,
            k,
        )
        for at, (code, if_true, if_false, k) in enumerate(program)
    ]


def _load_destination_port(*, ip_header: bool) -> list[Instruction]:
    if ip_header:
        return [(_LDX_HEADER_LENGTH, 0, 0, 0), (_LD_HALF_BEHIND, 0, 0, _DESTINATION_PORT)]
    return [(_LD_HALF_AT, 0, 0, _DESTINATION_PORT)]


def attach(sock: socket.socket, program: list[Instruction]) -> None:
    """Has the kernel run the program on what comes in from now on; what has come stays."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    # struct sock_fprog: the number of instructions, and where they are.
    pointer = struct.pack("HL", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
