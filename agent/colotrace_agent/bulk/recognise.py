"""Finds the plain answers to probes of many traces in a batch of packets, by arrays.

Nearly all answers are plain: ICMP "time exceeded" or "port unreachable" with an unchanged quote and
no extensions, or an echo reply, with the right tag (TCP: the right number). All other packets are
left to `packets.decode`, and none is dropped.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from colotrace_proto.messages import Family, NodeKind

from colotrace_agent.marks import TAG_BYTES
from colotrace_agent.packets.formats import FORMATS
from colotrace_agent.packets.payload import TAG_AT

from .arrays import Array, Bytes, Flags, Lines, Names, Numbers
from .columns import Columns
from .finding import same_rows

# Offsets in an IPv4 packet, and in an ICMPv6 message, which has no IP header. The quoted packet's
# transport header has the same offset in both.
_V4_ICMP = 20
_TRANSPORT = 48
_ECHO_TAG = slice(10, 18)
_MOST_PLAIN = 140  # from here on an ICMP message can have extensions (RFC 4884)
_SUMMED = 128
_LOOKED_AT = _V4_ICMP + _SUMMED  # longer packets are not plain
_ODD = -1

# Mask of a message's bytes, by its length.
_INSIDE = np.where(np.arange(_SUMMED) < np.arange(_SUMMED + 1)[:, None], 0xFF, 0).astype(np.uint8)
_MASKS: npt.NDArray[np.uint32] = _INSIDE.view(np.uint32)


class Plain(NamedTuple):
    """Plain answers: the row of each in the batch, and its fields."""

    rows: Lines
    lines: Lines
    ordinals: Lines
    kind: Bytes
    who: Bytes
    ttl_left: Numbers

    def some(self, rows: Flags) -> "Plain":
        """The answers of these rows."""
        arrays: tuple[Array, ...] = self
        return Plain(*(each[rows] for each in arrays))


class _Layout(NamedTuple):
    """Offsets and codes that differ between the families."""

    icmp: int
    header_ok: Flags
    quote_ok: Flags
    quoted_ttl: Bytes
    source: slice
    target: slice
    echo_request: int
    expired: tuple[int, int]
    port_closed: tuple[int, int]
    echo_reply: int
    stated_length: int


def plain_answers(columns: Columns, packets: Bytes, lengths: Numbers, senders: Bytes) -> Plain:
    """The plain answers in a batch from an ICMP socket; `senders` are IPv6 source addresses.

    `packets` has one packet a row, with arbitrary bytes beyond its length.
    """
    ipv4 = columns.family is Family.IPV4
    packets = np.ascontiguousarray(packets[:, :_LOOKED_AT])
    layout = _ipv4(packets, lengths, columns) if ipv4 else _ipv6(packets, senders, columns)
    kind, code = packets[:, layout.icmp], packets[:, layout.icmp + 1]
    expired = (kind == layout.expired[0]) & (code == layout.expired[1])
    closed = (kind == layout.port_closed[0]) & (code == layout.port_closed[1])
    probe = FORMATS[columns.spec.packet_type]
    if not probe.ports:
        closed[:] = False  # an echo request has no port: see `engine.verdict`
    quotes = layout.header_ok & layout.quote_ok & (expired | closed)
    quotes &= lengths >= _TRANSPORT + _quoted_at_least(columns)
    quotes &= (lengths - layout.icmp < _MOST_PLAIN) & (packets[:, layout.stated_length] == 0)
    # Time exceeded with a quoted TTL other than 1 gets a label.
    quotes &= (layout.quoted_ttl == 1) | closed
    echoes = layout.header_ok & (kind == layout.echo_reply) & (code == 0)
    echoes &= lengths >= layout.icmp + _ECHO_TAG.stop
    if probe.tap is not None:
        echoes[:] = False
    who = packets[:, 12:16] if ipv4 else senders
    found = [
        _quoting(columns, packets, layout, np.nonzero(quotes)[0], who, closed),
        _echoing(columns, packets, layout, np.nonzero(echoes)[0], who),
    ]
    return Plain(*(np.concatenate(fields) for fields in zip(*found, strict=True)))


def _quoting(
    columns: Columns, packets: Bytes, layout: _Layout, index: Lines, who: Bytes, closed: Flags
) -> Plain:
    quote = packets.take(index, axis=0)
    target, transport = quote[:, layout.target], quote[:, _TRANSPORT:]
    fields = FORMATS[columns.spec.packet_type].columns[columns.family]
    if fields.port is None:
        right = (transport[:, 0] == layout.echo_request) & (transport[:, 1] == 0)
    else:
        right = _number(transport[:, fields.port]) == columns.port
    number = _number(transport[:, fields.number])
    lines = columns.found.lines_of(target, _number(transport[:, fields.identifier]))
    right &= lines >= 0
    right &= same_rows(quote[:, layout.source], columns.sources[lines])
    ordinals = _ordinals(columns, lines, number)
    right &= ordinals >= 0
    if fields.payload is not None:
        at = fields.payload + TAG_AT
        wanted = columns.flat_tags[columns.places(lines, ordinals)]
        right &= _tag(transport[:, at : at + TAG_BYTES]) == wanted
    kinds = np.where(closed[index], NodeKind.TARGET, NodeKind.TRANSIT).astype(np.uint8)
    ttl_left = np.maximum(layout.quoted_ttl[index].astype(np.int64) - 1, 0)
    return Plain(index, lines, ordinals, kinds, who[index], ttl_left).some(right)


def _echoing(columns: Columns, packets: Bytes, layout: _Layout, index: Lines, who: Bytes) -> Plain:
    message = packets.take(index, axis=0)[:, layout.icmp :]
    lines = columns.found.lines_of(who[index], _number(message[:, 4:6]))
    ordinals = _ordinals(columns, lines, _number(message[:, 6:8]))
    right = (lines >= 0) & (ordinals >= 0)
    right &= _tag(message[:, _ECHO_TAG]) == columns.flat_tags[columns.places(lines, ordinals)]
    kinds, ttl_left = np.full(len(index), NodeKind.TARGET, np.uint8), np.zeros(len(index), np.int64)
    return Plain(index, lines, ordinals, kinds, who[index], ttl_left).some(right)


def _ipv4(packets: Bytes, lengths: Numbers, columns: Columns) -> _Layout:
    protocol = FORMATS[columns.spec.packet_type].protocols[Family.IPV4]
    header_ok = (packets[:, 0] == 0x45) & (packets[:, 9] == 1) & (lengths >= _V4_ICMP + 8)
    header_ok &= _sums_up(packets[:, _V4_ICMP:], lengths - _V4_ICMP)
    quote_ok = (packets[:, 28] == 0x45) & (packets[:, 29] == 0) & (packets[:, 37] == protocol)
    quote_ok &= (packets[:, 34] & 0x1F == 0) & (packets[:, 35] == 0)
    return _Layout(
        icmp=_V4_ICMP, header_ok=header_ok, quote_ok=quote_ok, quoted_ttl=packets[:, 36],
        source=slice(40, 44), target=slice(44, 48), echo_request=8, expired=(11, 0),
        port_closed=(3, 3), echo_reply=0, stated_length=25,
    )  # fmt: skip


def _ipv6(packets: Bytes, senders: Bytes, columns: Columns) -> _Layout:
    protocol = FORMATS[columns.spec.packet_type].protocols[Family.IPV6]
    # Link-local senders get a label with their zone (`network.zone`).
    header_ok = (senders[:, 0] != 0xFE) | (senders[:, 1] & 0xC0 != 0x80)
    quote_ok = (packets[:, 8] == 0x60) & (packets[:, 9] & 0xF0 == 0) & (packets[:, 14] == protocol)
    return _Layout(
        icmp=0, header_ok=header_ok, quote_ok=quote_ok, quoted_ttl=packets[:, 15],
        source=slice(16, 32), target=slice(32, 48), echo_request=128, expired=(3, 0),
        port_closed=(1, 4), echo_reply=129, stated_length=4,
    )  # fmt: skip


def _sums_up(messages: Bytes, lengths: Numbers) -> Flags:
    """Whether the internet checksum is right; False for long messages and odd lengths."""
    words = (min(int(lengths.max(initial=0)), _SUMMED) + 3) // 4
    summed = messages[:, : 4 * words].view(np.uint32)
    # The remainder is the same in any byte order (RFC 1071 section 2).
    masks = _MASKS[:, :words].take(np.clip(lengths, 0, _SUMMED), axis=0)
    total = (summed & masks).sum(axis=1, dtype=np.uint64)
    right: Flags = (total % 0xFFFF == 0) & (lengths <= _SUMMED) & (lengths % 2 == 0)
    return right


def _quoted_at_least(columns: Columns) -> int:
    payload = FORMATS[columns.spec.packet_type].columns[columns.family].payload
    return 8 if payload is None else payload + TAG_AT + TAG_BYTES


def _ordinals(columns: Columns, lines: Lines, number: Numbers) -> Lines:
    """The ordinals of the probes with these numbers, the inverse of `number_of`; -1: not sent."""
    modulus, least, step = FORMATS[columns.spec.packet_type].numbering
    ordinals = (number - columns.first_number[lines]) % modulus
    right = (lines >= 0) & (number >= least) & (number < least + modulus)
    if step > 1:
        ordinals, beyond = np.divmod(ordinals, step)
        right &= beyond == 0
    return np.where(right & (ordinals < columns.taken[lines]), ordinals, _ODD)


def _tag(columns: Bytes) -> Names:
    return np.ascontiguousarray(columns).view(np.uint64)[:, 0]


def _number(columns: Bytes) -> Numbers:
    wide: npt.NDArray[np.unsignedinteger] = np.ascontiguousarray(columns).view(
        ">u2" if columns.shape[1] == 2 else ">u4"
    )
    return wide[:, 0].astype(np.int64)
