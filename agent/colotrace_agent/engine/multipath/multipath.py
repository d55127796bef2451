"""Which load-balanced paths there are: how many more flows to trace, and what links they show.

The stopping rule of the Multipath Detection Algorithm (Augustin, Friedman, Teixeira, Measuring
load-balanced paths in the Internet, IMC 2007; Veitch, Augustin, Friedman, Teixeira, Failure control
in multipath route tracing, INFOCOM 2009), applied to each node: having seen k addresses behind a
node, enough flows must have gone through it that one more, if the balancer treats them alike,
would have been seen with 95 % confidence: 6, 11, 16, 21 … flows for k = 1, 2, 3, 4 …

Each flow is one Paris trace of its own. A link stands only where one and the same flow was seen at
both its ends; no link is put together from two flows. Balancing packet by packet, and a route that
changes under way, put one flow into places that no packet connects. Therefore each flow sends two
probes at each TTL, in two rounds over all TTLs: a change between the two ends of a link shows in
the second round. A flow counts at a TTL where both its probes were answered, by one address. A TTL
at which one flow met several addresses is *unsteady*: no link touches it, nor any TTL behind it
until all paths have joined again at a single address. And what flows met behind a node counts only
once it is *sound*, that is, so many of them met the same thing twice that a balancer by packet
would have let them by a chance of 1 in 500 at most. Where the node has several successors, each
flow would come out differently every other time. Where it has one, all but one of the branches
must be silent, so that of the flows that were answered at all every third was answered twice.

Paths of unequal length: a flow ends where it met the target (`Sight.end_ttl`), a longer one
goes on; what a flow's probes met beyond its own end is not part of its path.
"""

import functools
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from colotrace_proto.messages import MAX_LINKS, Edge
from colotrace_proto.notices import Notice, NoticeCode

CONFIDENCE = 0.95
PACKETS = 2
"""Probes of each flow at each TTL."""
FIRST = 7
"""Flows at first. One more than the rule asks for: with an odd number, packets that are balanced in
turn do not give each flow the same address again."""
AT_ONCE = 13
"""Flows under way together, at most: a small trace beside them waits for few probes only."""
MAX_FLOWS = 256
# With how little chance balancing by packet may pass for balancing by flow, and how many flows
# through a node with several successors that takes, each with an even chance at least to differ.
_CHANCE = 1 / 500
_REPEATS = 9
# Where answers are missing, as from a router that limits them, so many times the flows that the
# rule asks for, and no more.
_PATIENCE = 2


@functools.cache
def flows_needed(successors: int) -> int:
    """How many flows through a node rule out, with 95 % confidence, one more successor.

    The least n with which n draws among k + 1 equally likely ones miss at least one in at most 5 %
    of cases (inclusion and exclusion).
    """
    branches = successors + 1
    flows = successors
    while _missing(branches, flows) > 1 - CONFIDENCE:
        flows += 1
    return flows


def _missing(branches: int, flows: int) -> float:
    return math.fsum(
        (-1.0) ** (missed + 1) * math.comb(branches, missed) * (1 - missed / branches) ** flows
        for missed in range(1, branches)
    )


@functools.cache
def _by_chance(twice: int, answered: int) -> float:
    """The chance that of so many answered flows at least so many are answered twice, where every
    other packet meets a silent branch."""
    return math.fsum(
        math.comb(answered, n) * 2 ** (answered - n) / 3**answered
        for n in range(twice, answered + 1)
    )


@dataclass(frozen=True, slots=True)
class Sight:
    """What one flow's trace saw, up to its own end.

    `answers` has the address of each answer by TTL; `sent` counts its probes, those beyond the
    end included. `end_ttl` is where the flow met the target, or whatever else ended it.
    """

    flow: Hashable
    end_ttl: int
    answers: Mapping[int, tuple[bytes, ...]]
    sent: int


@dataclass(slots=True)
class _Met:
    """What flows met at a place: how many they are, how many of them were answered, how many
    answered twice, and by whom."""

    flows: int = 0
    answered: int = 0
    twice: int = 0
    addresses: set[bytes] = field(default_factory=set)

    def add(self, met: tuple[bytes, ...]) -> None:
        """One more flow's answers."""
        self.flows += 1
        self.answered += bool(met)
        self.twice += len(met) > 1
        self.addresses.update(met)

    @property
    def sound(self) -> bool:
        """Whether it is known that no packets are balanced here one by one."""
        return self.missing_to_be_sound() == 0

    def missing_to_be_sound(self) -> int:
        """How many more flows that are answered twice would show that."""
        if len(self.addresses) > 1:
            return max(_REPEATS - self.twice, 0)
        more = 0
        while _by_chance(self.twice + more, self.answered + more) > _CHANCE:
            more += 1
        return more


@dataclass(slots=True)
class _Hop(_Met):
    """One TTL over all flows that go so far."""

    unsteady: bool = False


@dataclass(slots=True)
class _Node(_Met):
    """One place on the way: what the flows that went through it met at the next TTL."""

    passed: float = 0.0
    """As `flows`, with those that probably went through it too, but got no answer from it."""

    @property
    def needed(self) -> int:
        """How many answered flows the rule asks for; none where nothing ever answers behind."""
        return flows_needed(len(self.addresses)) if self.addresses else 0

    @property
    def starved(self) -> bool:
        """Whether enough flows went through, had they all been answered."""
        return self.answered < self.needed and self.passed >= _PATIENCE * self.needed

    def missing(self) -> int:
        """How many more flows are to go through it."""
        flows = 0 if self.starved else self.needed - self.answered
        if self.addresses and self.passed < _PATIENCE * max(self.needed, _REPEATS):
            flows = max(flows, self.missing_to_be_sound())
        return max(flows, 0)


_ANYWHERE: Final = b""
"""Stands for all that a TTL has, where its addresses cannot be told apart: before the first hop,
where nothing ever answers, and where packets are balanced one by one."""


class Multipath:
    """The flows of one target that were traced, and what they come to."""

    def __init__(self, *, max_ttl: int, max_probes: int) -> None:
        self._cost = max_ttl * PACKETS
        self._probes_left = max_probes
        self._flows: dict[Hashable, Sight] = {}
        self._hops: list[_Hop] = []

    def saw(self, sight: Sight) -> None:
        """One more flow's trace has ended. A flow that comes again is no other flow."""
        self._probes_left -= sight.sent
        if sight.flow in self._flows:
            return
        self._flows[sight.flow] = sight
        self._hops += [_Hop() for _ in range(sight.end_ttl - len(self._hops))]
        for ttl in range(1, sight.end_ttl + 1):
            met = sight.answers.get(ttl, ())
            hop = self._hops[ttl - 1]
            hop.add(met)
            hop.unsteady |= len(set(met)) > 1

    def wanted(self) -> int:
        """How many more flows to trace together now; 0 where the paths are known, or the budget is
        spent."""
        return min(self._missing(), AT_ONCE, self._affordable())

    def links(self) -> tuple[Edge, ...]:
        """What connects addresses of neighbouring TTLs, by TTL, the most flows first."""
        nodes = self._nodes()
        flows: Counter[tuple[int, bytes, bytes]] = Counter()
        for sight in self._flows.values():
            near: bytes | None = None
            for ttl, far in enumerate(self._sure(sight, nodes), 1):
                if near is not None and far is not None and near != far:
                    flows[ttl - 1, near, far] += 1
                near = far
        ordered = sorted(flows.items(), key=lambda item: (item[0][0], -item[1], item[0]))
        return tuple(Edge(*ends, count) for ends, count in ordered[:MAX_LINKS])

    def notices(self) -> tuple[Notice, ...]:
        """What could not be found out."""
        nodes = self._nodes()
        unsteady = {ttl for ttl, hop in enumerate(self._hops, 1) if hop.unsteady}
        doubtful = {ttl for (ttl, _), node in nodes.items() if self._doubtful(ttl, node)}
        starved = {ttl for (ttl, _), node in nodes.items() if node.starved}
        gaps = self._gaps() - unsteady - doubtful - starved
        found = [
            Notice(code, ttls=tuple(sorted(ttls)))
            for code, ttls in (
                (NoticeCode.BALANCED_BY_PACKET, unsteady),
                (NoticeCode.TOO_FEW_ANSWERS, doubtful - unsteady),
                (NoticeCode.PATHS_LIMITED, starved),
                (NoticeCode.PATHS_SILENT, gaps),
            )
            if ttls
        ]
        if self._missing() > self._affordable():
            found.append(Notice(NoticeCode.PROBE_BUDGET, count=len(self._flows)))
        return tuple(found)

    def _affordable(self) -> int:
        return max(min(self._probes_left // self._cost, MAX_FLOWS - len(self._flows)), 0)

    def _missing(self) -> int:
        """How many more flows the rule asks for, as many of them going each way as before."""
        if not self._flows:
            return FIRST
        count = len(self._flows)
        return max(
            math.ceil(node.missing() * count / node.flows) for node in self._nodes().values()
        )

    def _nodes(self) -> dict[tuple[int, bytes], _Node]:
        """The nodes that flows went through and on, by the TTL of their successors and by place."""
        nodes: dict[tuple[int, bytes], _Node] = {}
        for sight in self._flows.values():
            for ttl in range(1, sight.end_ttl + 1):
                place = self._place(sight, ttl - 1)
                if place is None:
                    continue
                node = nodes.setdefault((ttl, place), _Node())
                node.add(sight.answers.get(ttl, ()))
                hop = self._hops[ttl - 2]
                node.passed += hop.flows / hop.answered if place else 1
        return nodes

    def _place(self, sight: Sight, ttl: int) -> bytes | None:
        """Where the flow was at that TTL; None where others' answers show that its own is lost."""
        if not ttl or self._hops[ttl - 1].unsteady or not self._hops[ttl - 1].addresses:
            return _ANYWHERE
        met = sight.answers.get(ttl, ())
        return met[0] if met else None

    def _sure(
        self, sight: Sight, nodes: Mapping[tuple[int, bytes], _Node]
    ) -> Iterator[bytes | None]:
        """Where the flow was beyond doubt, at TTL 1, 2, 3 …"""
        doubt = False
        for ttl in range(1, sight.end_ttl + 1):
            hop, met = self._hops[ttl - 1], sight.answers.get(ttl, ())
            if len(hop.addresses) == 1 and hop.sound:
                doubt = False
            elif hop.addresses:
                place = self._place(sight, ttl - 1)
                doubt = doubt or hop.unsteady or place is None or not nodes[ttl, place].sound
            yield met[0] if len(met) >= PACKETS and not doubt else None

    def _gaps(self) -> set[int]:
        """TTLs at which a path's router is silent, so that what lies behind it is not linked up
        although it answers."""
        links = {(link.ttl, link.near) for link in self.links()}
        return {
            ttl - 1
            for sight in self._flows.values()
            for ttl in range(2, sight.end_ttl)
            if self._place(sight, ttl - 1) is None
            and len(sight.answers.get(ttl, ())) >= PACKETS
            and len(sight.answers.get(ttl + 1, ())) >= PACKETS
            and (ttl, sight.answers[ttl][0]) not in links
        }

    def _doubtful(self, ttl: int, node: _Node) -> bool:
        """Whether links behind the node are not drawn for want of answers."""
        hop = self._hops[ttl - 1]
        joined = len(hop.addresses) == 1 and hop.sound
        return bool(node.addresses) and not joined and not node.sound
