"""Allocates flows to many traces, and draws their keyed fields: `engine.identity` in arrays.

At most one trace to each target runs at a time. `engine.identity` and `marks` describe the rules.
"""

import hashlib
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from colotrace_proto.messages import PacketType

from colotrace_agent.engine.identity import (
    QUARANTINE_NS,
    SHARED_PORTS,
    candidates,
    drawn_beside,
    port_of,
    told_apart,
)
from colotrace_agent.marks import TAG_BYTES, Marks, distinct
from colotrace_agent.model import Flow, FlowKey, TraceSpec
from colotrace_agent.packets.formats import FORMATS, keys_of

from .arrays import Array, Bytes, Flags, Names, Numbers

Shorts = npt.NDArray[np.uint16]

# Quarantined names are sorted into an array when they reach this number or age.
_YOUNG = 16_384
_YOUNG_NS = QUARANTINE_NS // 4
# Many names of one address quarantine hundreds of its flows.
_TRIED_AT_ONCE = 256
_SPREAD = np.uint64(0x9E37_79B9_7F4A_7C15)


class Flows(NamedTuple):
    """Flows of one packet type, family and destination port, one a row."""

    packet_type: PacketType
    port: int
    sources: Bytes
    targets: Bytes
    identifiers: Numbers
    first_numbers: Numbers
    ip_ids: Shorts
    tags: Bytes
    names: Names
    """Hashes by which `ManyIdentities` quarantines them."""

    def some(self, rows: Flags) -> "Flows":
        """The flows of these rows."""
        return Flows(self.packet_type, self.port, *(each[rows] for each in self.arrays))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The fields that have a row for each flow."""
        return self[2:]

    def flow(self, row: int) -> Flow:
        """The flow of one row."""
        number = int(self.first_numbers[row])
        return Flow(
            packet_type=self.packet_type,
            source=self.sources[row].tobytes(),
            target=self.targets[row].tobytes(),
            identifier=int(self.identifiers[row]),
            port=self.port,
            first_number=number,
            marks=Marks(number, tuple(self.ip_ids[row].tolist()), self.tags[row].tobytes()),
        )


class ManyIdentities:
    """The quarantined flows; flows in use differ by their targets."""

    def __init__(self, *, secret: bytes | None = None, flow_secret: bytes = b"") -> None:
        """As `Identities`."""
        self._secret = secret or secrets.token_bytes(32)
        self._flow_secret = flow_secret
        self._serial = 0
        self._resting = _Resting()

    def allocate(
        self, spec: TraceSpec, targets: Bytes, sources: Bytes, *,
        reserve: Callable[[int], bool], now: int,
    ) -> tuple[Flows, Flags]:  # fmt: skip
        """Flows for traces with the options of `spec`, and a mask of the targets that have one.

        The targets must differ from each other and from those of running traces. `reserve` takes a
        source port and returns whether the agent may use it.
        """
        drawn = self._drawn(spec, targets)
        identifiers = _first_candidates(spec, drawn)
        names = _names(drawn, identifiers)
        free = self._free(spec, names, now)
        if FORMATS[spec.packet_type].ports:
            for row in np.nonzero(free)[0].tolist():
                free[row] = reserve(int(identifiers[row]))
        for row in np.nonzero(~free)[0].tolist():
            found = self._search(spec, drawn[row : row + 1], reserve=reserve, now=now)
            if found is not None:
                identifiers[row], free[row] = found, True
        if not free.all():
            targets, sources = targets[free], sources[free]
            drawn, identifiers = drawn[free], identifiers[free]
        probes = spec.max_ttl * spec.packets_per_ttl
        context = self._serial.to_bytes(8, "big")
        self._serial += 1
        bases, ip_ids, tags = _draw(self._secret, context, flows=len(targets), probes=probes)
        flows = Flows(
            spec.packet_type, port_of(spec), sources, targets, identifiers,
            _first_numbers(spec, bases), ip_ids, tags, _names(drawn, identifiers),
        )  # fmt: skip
        return flows, free

    def is_released(self, spec: TraceSpec, key: FlowKey, now: int) -> bool:
        """Whether the flow of a trace with the options of `spec` is quarantined, so that an answer
        to it is late."""
        own = FlowKey(spec.packet_type, key.target, key.identifier, port_of(spec))
        keys = keys_of(own)
        if not any(key.packet_type is each.packet_type and key.port == each.port for each in keys):
            return False
        drawn = self._drawn(spec, rows_of([key.target]))
        return bool(self._resting.among(_names(drawn, np.array([key.identifier])), now)[0])

    def release(self, names: Names, now: int) -> None:
        """Quarantines the flows of traces that have ended, until no answer can arrive."""
        self._resting.add(names, now)

    def _free(self, spec: TraceSpec, names: Names, now: int) -> Flags:
        if told_apart(spec):
            return np.ones(len(names), np.bool_)
        return ~self._resting.among(names, now)

    def _drawn(self, spec: TraceSpec, targets: Bytes) -> Names:
        beside = drawn_beside(spec, self._flow_secret)
        digests = [
            hashlib.blake2b(target + beside, digest_size=8).digest()
            for target in addresses_of(targets)
        ]
        return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)

    def _search(
        self, spec: TraceSpec, drawn: Names, *, reserve: Callable[[int], bool], now: int
    ) -> int | None:
        tried = candidates(spec, int(drawn[0]))
        while part := list(islice(tried, _TRIED_AT_ONCE)):
            identifiers = np.array(part)
            free = self._free(spec, _names(drawn, identifiers), now)
            for identifier in identifiers[free].tolist():
                if not FORMATS[spec.packet_type].ports or reserve(identifier):
                    return int(identifier)
        return None


class _Resting:
    """Quarantined names. Thousands arrive a second, so they are kept in few sorted arrays, each of
    which expires as a whole."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._young_since = 0
        self._old: deque[tuple[int, Names]] = deque()

    def add(self, names: Names, now: int) -> None:
        """Quarantines these names."""
        self._turn(now)
        if not self._young:
            self._young_since = now
        self._young.update(names.tolist())

    def among(self, names: Names, now: int) -> Flags:
        """A mask of the names that are quarantined."""
        self._turn(now)
        young = self._young
        resting = np.array([name in young for name in names.tolist()], np.bool_)
        for _, old in self._old:
            places = np.minimum(np.searchsorted(old, names), len(old) - 1)
            resting |= old[places] == names
        return resting

    def _turn(self, now: int) -> None:
        while self._old and self._old[0][0] <= now:
            self._old.popleft()
        if len(self._young) >= _YOUNG or (self._young and now - self._young_since >= _YOUNG_NS):
            old = np.sort(np.fromiter(self._young, np.uint64, len(self._young)))
            self._old.append((now + QUARANTINE_NS, old))
            self._young = set()


def _draw(
    secret: bytes, context: bytes, *, flows: int, probes: int
) -> tuple[Numbers, Shorts, Bytes]:
    """Draws the marks of many flows from one stream: bases, IPv4 identifications and tags, one flow
    a row, as in `Marks`. `context` must never be used again, nor with `Marks.draw`."""
    each = 4 + probes * (2 + TAG_BYTES)
    stream = hashlib.shake_128(secret + context).digest(flows * each)
    rows = np.frombuffer(stream, np.uint8).reshape(flows, each)
    bases, ids = rows[:, :4].copy().view(">u4"), rows[:, 4 : 4 + 2 * probes].copy().view(">u2")
    ip_ids = ids.astype(np.uint16)
    ordered = np.sort(ip_ids, axis=1)
    odd = (ordered[:, 0] == 0) | (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    for row in np.nonzero(odd)[0].tolist():
        ip_ids[row] = distinct(tuple(ip_ids[row].tolist()))
    return bases[:, 0].astype(np.int64), ip_ids, rows[:, 4 + 2 * probes :]


def _first_candidates(spec: TraceSpec, drawn: Names) -> Numbers:
    """The first of `candidates` for each target."""
    kind = FORMATS[spec.packet_type]
    space = kind.identifiers
    if kind.ports:
        start = (drawn % np.uint64(SHARED_PORTS)).astype(np.int64) + spec.flow
    else:
        start = (drawn % np.uint64(len(space))).astype(np.int64)
    return space.start + start % len(space)


def _first_numbers(spec: TraceSpec, bases: Numbers) -> Numbers:
    """As `first_number`."""
    kind = FORMATS[spec.packet_type]
    if spec.port and not kind.ports:
        bases = np.full_like(bases, spec.port)
    return kind.numbering.first(bases)


def _names(drawn: Names, identifiers: Numbers) -> Names:
    """64-bit hashes of target and identifier, of GRE's the half that its echo requests share. Flows
    with equal hashes are treated as equal: the second gets another identifier."""
    names: Names = drawn ^ ((identifiers & 0xFFFF).astype(np.uint64) * _SPREAD)
    return names


def rows_of(addresses: Sequence[bytes]) -> Bytes:
    """Packed addresses of one family as rows."""
    joined = np.frombuffer(b"".join(addresses), np.uint8)
    return joined.reshape(len(addresses), len(addresses[0]))


def addresses_of(rows: Bytes) -> list[bytes]:
    """Rows as packed addresses."""
    joined, width = rows.tobytes(), rows.shape[1]
    return [joined[at : at + width] for at in range(0, len(joined), width)]
