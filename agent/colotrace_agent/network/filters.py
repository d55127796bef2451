"""The kernel's filters on receiving sockets.

They are an optimisation: all packets that pass are still decoded and matched.
"""

import ctypes
import socket
import struct

from colotrace_agent.packets import bpf

_SOL_RAW = 255
_ICMP_FILTER = 1
_SO_ATTACH_FILTER = 26

_ICMP_WANTED = (0, 3, 11, 12)
_ICMP6_WANTED = (1, 2, 3, 4, 129)


def keep_icmp_answers(sock: socket.socket) -> None:
    """Makes a raw ICMP socket receive only echo replies and errors."""
    blocked = ~sum(1 << kind for kind in _ICMP_WANTED) & 0xFFFF_FFFF
    sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked))


def keep_icmp6_answers(sock: socket.socket) -> None:
    """Makes a raw ICMPv6 socket receive only echo replies and errors."""
    kinds = len(_ICMP6_WANTED)
    program = [
        (bpf.LD_BYTE_AT, 0, 0, 0),
        *((bpf.JUMP_EQUAL, kinds - at, 0, kind) for at, kind in enumerate(_ICMP6_WANTED)),
        (bpf.RETURN, 0, 0, 0),
        (bpf.RETURN, 0, 0, bpf.WHOLE_PACKET),
    ]
    attach(sock, program)


def attach(sock: socket.socket, program: list[bpf.Instruction]) -> None:
    """Filters packets that arrive from now on; those in the queue stay."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    # struct sock_fprog: the number of instructions, and their address.
    pointer = struct.pack("HL", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
