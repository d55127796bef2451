"""The store of traces of one family and one set of options: arrays with a line for each trace.

All times are monotonic nanoseconds, all TTLs count from 1, all ordinals from 0. A probe's place is
its line times the probes of a line, plus its ordinal; arrays by probe are also had flat, by place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from colotrace_proto.ends import refused_at
from colotrace_proto.messages import Family, NodeKind

from colotrace_agent.engine.identity import port_of
from colotrace_agent.engine.notices import Caveats
from colotrace_agent.engine.rules import DOUBTFUL, Bounds
from colotrace_agent.model import Counters, Flow, TraceSpec

from .arrays import Array, Bytes, Flags, Lines, Numbers
from .finding import Finder
from .flows import Flows

Shorts = npt.NDArray[np.int16]

_PLACE_BITS = 40


@dataclass(slots=True)
class Aside:
    """What few traces have, kept beside the arrays."""

    labels: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Labels of the answers to these ordinals."""
    caveats: Caveats = field(default_factory=Caveats)


class Columns:
    """A fixed number of lines. A line is free, or holds one trace until `free`.

    `spec` holds the shared options; its target is not used. Shapes are (lines,), (lines, TTLs) and
    (lines, probes), addresses one axis more of `width` bytes. Times are int64 in nanoseconds, 0 for
    none; TTLs are int16 in bounds and uint8 by probe, counts int16 by TTL, tags uint64.
    """

    def __init__(self, spec: TraceSpec, family: Family, *, lines: int) -> None:
        self.spec = spec
        self.family = family
        self.lines = lines
        ttls, probes = spec.max_ttl, spec.max_ttl * spec.packets_per_ttl
        self.probes = probes
        self.width = 4 if family is Family.IPV4 else 16
        self.port = port_of(spec)
        """UDP and TCP: the destination port of all flows."""
        self.asides: dict[int, Aside] = {}
        self._counters: dict[int, Counters] = {}
        self._free = list(range(lines - 1, -1, -1))

        def numbers(*shape: int) -> Numbers:
            return np.zeros((lines, *shape), np.int64)

        # By line.
        self.generation, self.started, self.ended = numbers(), numbers(), numbers()
        self.identifiers, self.first_number = numbers(), numbers()
        self.taken, self.overflows = numbers(), numbers()
        self.names = np.zeros(lines, np.uint64)
        """By which identities know the flow."""
        # `next_place`: the place in sending order of the next probe; `put_off`: probes that wait
        # for a router that limits its answers.
        self.next_place, self.put_off = numbers(), numbers()
        self.unsettled = np.zeros(lines, np.bool_)
        """Whether a change calls for a check of the end."""
        self.bounds: Bounds[Array] = Bounds(*(np.zeros(lines, np.int16) for _ in range(4)))
        self.target_ttl: Shorts = self.bounds.target_ttl
        self.targets: Bytes = np.zeros((lines, self.width), np.uint8)
        self.sources: Bytes = np.zeros((lines, self.width), np.uint8)
        self.found = Finder(spec.packet_type, self.targets, self.identifiers)
        # By line and TTL, from TTL 1.
        self.last_sent_at, self.longest_rtt = numbers(ttls), numbers(ttls)
        self.sent: Shorts = np.zeros((lines, ttls), np.int16)
        self.answers: Shorts = np.zeros((lines, ttls), np.int16)
        self.held = np.zeros((lines, ttls), np.bool_)
        # By line and ordinal.
        self.sent_at, self.rtt = numbers(probes), numbers(probes)
        self.answered = np.zeros((lines, probes), np.bool_)
        self.stamped = np.zeros((lines, probes), np.bool_)
        self.tags = np.zeros((lines, probes), np.uint64)
        self.ip_ids = np.zeros((lines, probes), np.uint16)
        self.ttl_of: Bytes = np.zeros((lines, probes), np.uint8)
        self.kind: Bytes = np.zeros((lines, probes), np.uint8)
        self.who: Bytes = np.zeros((lines, probes, self.width), np.uint8)
        # The same by place.
        self.flat_tags, self.flat_ip_ids = self.tags.reshape(-1), self.ip_ids.reshape(-1)
        self.flat_ttl_of = self.ttl_of.reshape(-1)
        self.flat_sent_at, self.flat_rtt = self.sent_at.reshape(-1), self.rtt.reshape(-1)
        self.flat_answered = self.answered.reshape(-1)
        self.flat_stamped = self.stamped.reshape(-1)
        self.flat_kind, self.flat_who = self.kind.reshape(-1), self.who.reshape(-1, self.width)
        self._flows = Flows(
            spec.packet_type, self.port, self.sources, self.targets, self.identifiers,
            self.first_number, self.ip_ids, self.tags.view(np.uint8), self.names,
        )  # fmt: skip
        self.ttls = np.arange(1, ttls + 1, dtype=np.int16)

    @property
    def room(self) -> int:
        """Lines that are free."""
        return len(self._free)

    @staticmethod
    def bytes_per_line(spec: TraceSpec, family: Family) -> int:
        """What one line takes in memory, about."""
        width = 4 if family is Family.IPV4 else 16
        probes = spec.max_ttl * spec.packets_per_ttl
        return 830 + probes * (36 + width) + spec.max_ttl * 21

    def begin(self, flows: Flows, *, expected_ttls: Numbers, now: int) -> Lines:
        """Take free lines for these flows. Returns the lines; there must be `room` for all."""
        count, beyond = len(flows.targets), self.spec.max_ttl + 1
        lines = np.array(self._free[-count:], np.intp)
        del self._free[-count:]
        self.started[lines] = now
        for numbers in (self.ended, self.taken, self.overflows, self.next_place, self.put_off):
            numbers[lines] = 0
        for mine, given in zip(self._flows.arrays, flows.arrays, strict=True):
            mine[lines] = given
        for bound in self.bounds:
            bound[lines] = beyond
        self.bounds.expected_ttl[lines] = expected_ttls
        self.last_sent_at[lines] = self.longest_rtt[lines] = self.sent_at[lines] = 0
        self.sent[lines] = self.answers[lines] = 0
        self.held[lines] = self.answered[lines] = self.stamped[lines] = False
        self.found.add(lines, flows)
        return lines

    def free(self, lines: Lines) -> None:
        """Frees the lines of traces that have ended and been reported."""
        self.generation[lines] += 1
        freed = lines.tolist()
        self._free += freed
        for beside in (self.asides, self._counters):
            if beside:
                for line in freed:
                    beside.pop(line, None)

    def flow(self, line: int) -> Flow:
        """The flow of the line's trace, until the line is freed."""
        return self._flows.flow(line)

    def aside(self, line: int) -> Aside:
        """What the line has beside the arrays."""
        return self.asides.setdefault(line, Aside())

    def counters(self, line: int) -> Counters:
        """What was heard for the line and is no answer."""
        return self._counters.setdefault(line, Counters())

    def all_counted(self, lines: Lines) -> list[Counters]:
        """The counters of these lines, as far as they have any."""
        known = self._counters
        return [known[line] for line in lines.tolist() if line in known] if known else []

    def places(self, lines: Lines, ordinals: Lines) -> Lines:
        """Where these probes are in arrays by place."""
        places: Lines = lines * self.probes + ordinals
        return places

    def tickets(self, lines: Lines, ordinals: Lines) -> Numbers:
        """Numbers that name these probes, also when their lines are others' by then."""
        tickets: Numbers = self.generation[lines] << _PLACE_BITS | self.places(lines, ordinals)
        return tickets

    def places_of(self, tickets: Numbers) -> tuple[Lines, Flags]:
        """The places of the probes that these name; and which still have them."""
        places = tickets & ((1 << _PLACE_BITS) - 1)
        return places, self.generation[places // self.probes] == tickets >> _PLACE_BITS

    def with_tag(self, tag: bytes) -> int | None:
        """The line of a running trace that has a probe with this tag."""
        (wanted,) = np.frombuffer(tag, np.uint64).tolist()
        live = self.found.live
        found = live[(self.tags[live] == wanted).any(axis=1)]
        return int(found[0]) if len(found) else None

    def bounds_of(self, lines: Lines) -> Bounds[Array]:
        """The bounds of these lines."""
        return Bounds(*(bound[lines] for bound in self.bounds))

    def ends_at(self, lines: Lines) -> Shorts:
        """The last TTL of interest: the target's, else where a refusal ends the path, else the
        spec's."""
        most = self.spec.max_ttl
        ends: Shorts = np.minimum(self.target_ttl[lines], most)
        refused = (self.bounds.refusal_ttl[lines] <= most) & (self.target_ttl[lines] > most)
        for row in np.nonzero(refused)[0].tolist():
            end = refused_at(self._answers_of(int(lines[row])))
            ends[row] = most if end is None else end
        return ends

    def _answers_of(self, line: int) -> Iterator[tuple[int, NodeKind, bytes]]:
        """TTL, kind and address of each answer that is not doubtful."""
        answered = self.answered[line] & (self.kind[line] != DOUBTFUL)
        for ordinal in np.nonzero(answered)[0].tolist():
            kind = NodeKind(int(self.kind[line, ordinal]))
            yield int(self.ttl_of[line, ordinal]), kind, self.who[line, ordinal].tobytes()

    def unstamped(self, lines: Lines) -> int:
        """Number of answers of these lines to probes without a departure stamp."""
        return int((self.answered[lines] & ~self.stamped[lines]).sum())

    def undeparted(self, lines: Lines) -> dict[int, list[int]]:
        """Ordinals of the sent probes with neither an answer nor a time stamp, by line; lines that
        have none are left out."""
        silent = (self.sent_at[lines] > 0) & ~(self.stamped[lines] | self.answered[lines])
        rows = np.nonzero(silent.any(axis=1))[0].tolist()
        return {int(lines[row]): np.nonzero(silent[row])[0].tolist() for row in rows}

    def short_of_answers(self, lines: Lines) -> Flags:
        """Whether a hop has fewer answers than probes, and one beyond it has them all."""
        sent, answers = self.sent[lines], self.answers[lines]
        lacks = answers < sent
        short = np.zeros(len(lines), np.bool_)
        some = np.nonzero(lacks.any(axis=1))[0]
        if len(some):
            sent, answers, lacks = sent[some], answers[some], lacks[some]
            inside = self.ttls <= self.ends_at(lines[some])[:, None]
            whole = np.where(inside & (sent > 0) & ~lacks, self.ttls, 0).max(axis=1)
            short[some] = (lacks & (self.ttls < whole[:, None])).any(axis=1)
        return short
