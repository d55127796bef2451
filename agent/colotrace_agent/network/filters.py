"""The kernel's filters on receiving sockets.

They are an optimisation: all packets that pass are still decoded and matched.
"""

import ctypes
import socket
import struct

from colotrace_agent.packets import bpf

_SO_ATTACH_FILTER = 26

_ICMP_FILTERS = {
    # Level, option (linux/icmp.h, linux/icmpv6.h), its 32-bit words, and the wanted types:
    # echo replies and errors.
    socket.AF_INET: (255, 1, 1, {0, 3, 11, 12}),
    socket.AF_INET6: (socket.IPPROTO_ICMPV6, 1, 8, {1, 2, 3, 4, 129}),
}


def keep_icmp_answers(sock: socket.socket) -> None:
    """Makes a raw ICMP or ICMPv6 socket receive only echo replies and errors."""
    level, option, words, wanted = _ICMP_FILTERS[sock.family]
    blocked = [
        sum(1 << bit for bit in range(32) if word * 32 + bit not in wanted) for word in range(words)
    ]
    sock.setsockopt(level, option, struct.pack(f"={words}I", *blocked))


def attach(sock: socket.socket, program: list[bpf.Instruction]) -> None:
    """Filters packets that arrive from now on; those in the queue stay."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    # struct sock_fprog: the number of instructions, and their address.
    pointer = struct.pack("HL", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
