"""Programs of classic BPF (linux/filter.h): which packets the kernel keeps for a raw socket."""

from collections.abc import Collection

# Load a half-word or byte at a fixed offset, or behind an IP header of any length; compare; return.
LDX_HEADER_LENGTH = 0xB1
LD_HALF_BEHIND, LD_BYTE_BEHIND = 0x48, 0x50
LD_HALF_AT, LD_BYTE_AT = 0x28, 0x30
JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT = 0x15, 0x35, 0x45
AND, RETURN = 0x54, 0x06
# Lengths of headers are added up in the index register.
LD_CONSTANT, LDX_CONSTANT, LD_WORD_BEHIND = 0x00, 0x01, 0x40
STORE, LD_STORED = 0x02, 0x60
ADD_INDEX, TO_INDEX, SHIFT_LEFT, SHIFT_RIGHT = 0x0C, 0x07, 0x64, 0x74
JUMP = 0x05

WHOLE_PACKET = 0x40000
DROP = 255
"""Placeholder of a jump to the last instruction, which drops the packet; see `with_drops`."""

_MAX_LISTED = 32  # ports that are compared one by one
_DESTINATION_PORT = 2

Instruction = tuple[int, int, int, int]
"""Operation, jump offsets if true and if false, operand."""


def to_ports(ports: Collection[int], *, ip_header: bool) -> list[Instruction]:
    """Drops packets whose destination port is not one of these; of more than 32, not in their
    range. Afterwards, the index register has the transport header's offset."""
    if ip_header:
        load = [(LDX_HEADER_LENGTH, 0, 0, 0), (LD_HALF_BEHIND, 0, 0, _DESTINATION_PORT)]
    else:
        load = [(LD_HALF_AT, 0, 0, _DESTINATION_PORT)]
    if len(ports) > _MAX_LISTED:
        return [
            *load,
            (JUMP_AT_LEAST, 0, DROP, min(ports)),
            (JUMP_AT_LEAST, DROP, 0, max(ports) + 1),
        ]
    *others, last = ports
    passes = [(JUMP_EQUAL, len(others) - at, 0, port) for at, port in enumerate(others)]
    return [*load, *passes, (JUMP_EQUAL, 0, DROP, last)]


def with_drops(program: list[Instruction]) -> list[Instruction]:
    """The program, ended by "keep" and "drop", with each jump to `DROP` resolved."""
    program = [*program, (RETURN, 0, 0, WHOLE_PACKET), (RETURN, 0, 0, 0)]
    last = len(program) - 1
    return [
        (
            code,
            last - at - 1 if if_true == DROP else if_true,
            last - at - 1 if if_false == DROP else if_false,
            operand,
        )
        for at, (code, if_true, if_false, operand) in enumerate(program)
    ]
