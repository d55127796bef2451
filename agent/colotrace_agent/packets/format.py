"""The record of a packet type: everything that is particular to it, filled in by the type's file.

Whatever sends, hears or matches probes asks this record and never which type it is.
"""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from colotrace_proto.messages import Family, PacketType

from colotrace_agent.model import Flow, Heard, Unheard

from .bpf import Instruction
from .probe import Writer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IntOrArray = TypeVar("IntOrArray", int, "npt.NDArray[np.int64]")


class Quoted(NamedTuple):
    """Identity of a quoted probe: its flow's identifier and destination port (0: none), its number
    and tag (None: not shown), and the start of a payload that was cut before the tag's end."""

    identifier: int
    port: int
    number: int | None
    tag: bytes | None = None
    cut: bytes = b""


class Numbering(NamedTuple):
    """The numbers of a flow's probes: arithmetic modulo `modulus`, starting from `least`."""

    modulus: int
    least: int = 0
    step: int = 1
    """Between the numbers of consecutive probes."""

    def first(self, base: IntOrArray) -> IntOrArray:
        """The number of probe 0, from 32 random bits."""
        return base % self.modulus + self.least

    def number(self, first: IntOrArray, ordinal: IntOrArray) -> IntOrArray:
        """The number of the probe `ordinal`, counted from 0, of a flow whose first is `first`."""
        # Arrays are slower by each operation, also by those with 0 and 1.
        ahead = ordinal if self.step == 1 else ordinal * self.step
        if not self.least:
            return (first + ahead) % self.modulus
        return (first - self.least + ahead) % self.modulus + self.least


class Ports(NamedTuple):
    """How a type with ports uses them."""

    default: int
    """The destination port, unless the job names one."""
    socket_kind: socket.SocketKind
    """The type of socket that reserves a source port."""


class Tap(NamedTuple):
    """A raw socket for a type's direct answers."""

    decode: Callable[[bytes, bytes], Heard | Unheard]
    """Reads the payload of an IP packet; its second argument is the sender's address."""
    program: Callable[..., list[Instruction]]
    """The kernel's filter: takes `ip_header`, and `ports` if the type has ports."""


class Columns(NamedTuple):
    """Offsets of a probe's fields from its transport header on."""

    number: slice
    payload: int | None
    """Where the payload begins, with steering and tag. None: the number changes the checksum."""
    checksum: slice
    identifier: slice
    port: slice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFormat:
    """One packet type."""

    packet_type: PacketType
    protocols: Mapping[Family, int]
    """IP protocol numbers."""
    writer: Callable[[Flow, int], Writer]
    """Takes a flow and its IP protocol number."""
    quoted: Callable[[bytes, Family], Quoted | None]
    """Reads a quote of at least 8 bytes from its transport header on; None: not a probe."""
    numbering: Numbering
    identifiers: range
    """Values that a flow's identifier may take."""
    columns: Mapping[Family, Columns]
    ports: Ports | None = None
    tap: Tap | None = None
    """None: direct answers are echo replies, which the ICMP socket hears."""
    steering: Callable[[Flow, int], int] | None = None
    """The steering of the flow's probe with that ordinal; None if it is not keyed, because
    translators change what it depends on."""
    number_is_checksum: bool = False
    """Translators change the number together with addresses and ports (RFC 1624)."""
    number_suffices: bool = False
    """The number has 32 bits and identifies a probe without a payload."""
    number_quoted: bool = True
    """The number lies in the 8 bytes that every router quotes (RFC 792)."""
    inner: PacketType | None = None
    """The type of a packet inside, by which answers may name the flow; its identifier is the low
    16 bits of the flow's."""
