"""Whose trace it is that an answer names, by target and identifier: for many answers at once."""

import numpy as np
import numpy.typing as npt
from colotrace_proto.messages import PacketType

from colotrace_agent.model import FlowKey
from colotrace_agent.packets.formats import FORMATS

from .arrays import Bytes, Flags, Lines, Names, Numbers
from .flows import Flows

# As many as a megabyte holds: lines are seldom in each other's way.
SLOT_BITS = 18
_SPREAD, _SPREAD_TOO = np.uint64(0x9E37_79B9_7F4A_7C15), np.uint64(0xC2B2_AE3D_27D4_EB4F)
_NONE = -1


class Finder:
    """Index of the lines of running traces by target and identifier.

    Each line has a slot, chosen by a hash. If two lines have the same slot, the later one has it,
    and the other is found in a dictionary of all lines.
    """

    def __init__(self, packet_type: PacketType, targets: Bytes, identifiers: Numbers) -> None:
        """The latter two by line, as they are kept up to date."""
        self._inner = FORMATS[packet_type].inner
        self.packet_types = {packet_type} if self._inner is None else {packet_type, self._inner}
        """Those of the packets by which answers name the traces."""
        self._targets, self._identifiers = targets, identifiers
        self._slots = np.full(1 << SLOT_BITS, _NONE, np.int32)
        self._known: dict[bytes, int] = {}
        self._live = np.zeros(len(targets), np.bool_)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._live))

    @property
    def live(self) -> Lines:
        """All lines."""
        return np.nonzero(self._live)[0]

    def add(self, lines: Lines, flows: Flows) -> None:
        """Their traces have begun."""
        self._live[lines] = True
        self._slots[_slots(flows.targets, flows.identifiers)] = lines
        for names in self._names(lines):
            self._known.update(zip(names, lines.tolist(), strict=True))

    def remove(self, lines: Lines) -> None:
        """Their traces have ended."""
        self._live[lines] = False
        for names in self._names(lines):
            for name in names:
                del self._known[name]

    def near(self, key: FlowKey) -> Lines:
        """Lines of traces with that identifier, whatever their target."""
        identifiers = self._identifiers
        if self._inner is not None and key.packet_type is self._inner:
            identifiers = identifiers & 0xFFFF
        return np.nonzero(self._live & (identifiers == key.identifier))[0]

    def far(self, key: FlowKey) -> Lines:
        """Lines of traces to that target, whatever their identifier."""
        target = np.frombuffer(key.target, np.uint8)[None, :]
        return np.nonzero(self._live & same_rows(self._targets, target))[0]

    def line_of(self, key: FlowKey) -> int | None:
        """The line of the trace whose answers have that key."""
        return self._known.get(key.target + key.identifier.to_bytes(4, "big"))

    def lines_of(self, targets: Bytes, identifiers: Numbers) -> Lines:
        """The lines of the traces to these targets with these identifiers, -1 where none is."""
        lines = self._slots[_slots(targets, identifiers)].astype(np.intp)
        right = (lines >= 0) & self._live[lines] & (self._identifiers[lines] == identifiers)
        right &= same_rows(self._targets[lines], targets)
        for row in np.nonzero(~right)[0].tolist():
            name = targets[row].tobytes() + int(identifiers[row]).to_bytes(4, "big")
            lines[row] = self._known.get(name, _NONE)
        return lines

    def _names(self, lines: Lines) -> list[list[bytes]]:
        """Of types with an inner packet, also the names by which its answers find the trace."""
        identifiers = [self._identifiers[lines]]
        if self._inner is not None:
            identifiers.append(identifiers[0] & 0xFFFF)
        return [_joined(self._targets[lines], each) for each in identifiers]


def _joined(targets: Bytes, identifiers: Numbers) -> list[bytes]:
    size = targets.shape[1] + 4
    names = np.empty((len(targets), size), np.uint8)
    names[:, :-4] = targets
    names[:, -4:] = identifiers.astype(">u4").view(np.uint8).reshape(-1, 4)
    joined = names.tobytes()
    return [joined[at : at + size] for at in range(0, len(joined), size)]


def _slots(targets: Bytes, identifiers: Numbers) -> Names:
    words = _words(targets).astype(np.uint64)
    mixed = identifiers.astype(np.uint64) + _SPREAD_TOO * words[:, 0]
    for column in range(1, words.shape[1]):
        mixed = mixed * _SPREAD_TOO + words[:, column]
    slots: Names = mixed * _SPREAD >> np.uint64(64 - SLOT_BITS)
    return slots


def same_rows(some: Bytes, others: Bytes) -> Flags:
    """Which addresses are equal: by columns of words, since few columns are slow to reduce."""
    words, others_words = _words(some), _words(others)
    same: Flags = words[:, 0] == others_words[:, 0]
    for column in range(1, words.shape[1]):
        same &= words[:, column] == others_words[:, column]
    return same


def _words(addresses: Bytes) -> npt.NDArray[np.uint32]:
    return np.ascontiguousarray(addresses).view(np.uint32)
