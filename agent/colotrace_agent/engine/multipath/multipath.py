"""Load-balanced paths: how many more flows to trace, and the links that they show.

The stopping rule of the Multipath Detection Algorithm (Augustin, Friedman, Teixeira, Measuring
load-balanced paths in the Internet, IMC 2007; Veitch, Augustin, Friedman, Teixeira, Failure control
in multipath route tracing, INFOCOM 2009), applied to each node: with k addresses seen behind a
node, so many flows must have passed it that another successor of equal weight would have been seen
with 95 % confidence: 6, 11, 16, 21 … flows for k = 1, 2, 3, 4 …

Each flow is a Paris trace of its own. A link needs one flow that was seen at both of its ends; no
link is combined from two flows. Two things put one flow at places that no packet connects:
balancing by packet, and a route change during the trace. Therefore:

- Each flow sends two probes at each TTL, in two rounds over all TTLs. A change between the two ends
  of a link shows in the second round. A flow counts at a TTL if one address answered both probes.
- A TTL at which one flow met several addresses is *unsteady*. It has no links, nor have the TTLs
  behind it until all paths join at a single address.
- What flows met behind a node counts only once it is *sound*: so many flows met the same address
  twice that a balancer by packet would have allowed it with a probability of 1 in 500 at most. If
  the node has several successors, such a balancer gives each flow two addresses with an even
  chance. If it has one, all other branches must be silent, so that one in three of the flows with
  an answer has two.

Paths may differ in length: a flow ends where it met the target (`Sight.end_ttl`), while a longer
one goes on. What its probes met beyond that end is not part of its path.
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
"""Flows of the first wave. One more than the rule needs: with an odd number, round-robin balancing
by packet does not give each flow the same address again."""
AT_ONCE = 13
"""Most flows of one wave, so that a small trace beside them waits for few probes only."""
MAX_FLOWS = 256
# The probability at which balancing by packet may pass for balancing by flow, and the flows needed
# for it at a node with several successors, where each differs with an even chance at least.
_CHANCE = 1 / 500
_REPEATS = 9
# If answers are missing, for example because of a rate limit, at most this multiple of the flows
# that the rule needs.
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
    """The probability that at least `twice` of `answered` flows have two answers, if every other
    packet meets a silent branch."""
    return math.fsum(
        math.comb(answered, n) * 2 ** (answered - n) / 3**answered
        for n in range(twice, answered + 1)
    )


@dataclass(frozen=True, slots=True)
class Sight:
    """The answers to one flow's trace, up to its own end.

    `answers` has the address of each answer by TTL; `sent` counts its probes, those beyond the
    end included. `end_ttl` is where the flow met the target, or whatever else ended it.
    """

    flow: Hashable
    end_ttl: int
    answers: Mapping[int, tuple[bytes, ...]]
    sent: int


@dataclass(slots=True)
class _Met:
    """What flows met at a place: the number of flows, of those with an answer and with two, and the
    addresses that answered."""

    flows: int = 0
    answered: int = 0
    twice: int = 0
    addresses: set[bytes] = field(default_factory=set)

    def add(self, met: tuple[bytes, ...]) -> None:
        """Add the answers to one flow."""
        self.flows += 1
        self.answered += bool(met)
        self.twice += len(met) > 1
        self.addresses.update(met)

    @property
    def sound(self) -> bool:
        """Whether balancing by packet is ruled out here."""
        return self.missing_to_be_sound() == 0

    def missing_to_be_sound(self) -> int:
        """How many more flows with two answers would rule it out."""
        if len(self.addresses) > 1:
            return max(_REPEATS - self.twice, 0)
        more = 0
        while _by_chance(self.twice + more, self.answered + more) > _CHANCE:
            more += 1
        return more


@dataclass(slots=True)
class _Hop(_Met):
    """One TTL, over all flows whose paths reach it."""

    unsteady: bool = False


@dataclass(slots=True)
class _Node(_Met):
    """One place on the path: what the flows through it met at the next TTL."""

    passed: float = 0.0
    """As `flows`, plus an estimate of the flows through it that it did not answer."""

    @property
    def needed(self) -> int:
        """How many flows with an answer the rule needs; 0 if nothing behind ever answers."""
        return flows_needed(len(self.addresses)) if self.addresses else 0

    @property
    def starved(self) -> bool:
        """Whether enough flows passed, but too few of them were answered."""
        return self.answered < self.needed and self.passed >= _PATIENCE * self.needed

    def missing(self) -> int:
        """How many more flows must pass it."""
        flows = 0 if self.starved else self.needed - self.answered
        if self.addresses and self.passed < _PATIENCE * max(self.needed, _REPEATS):
            flows = max(flows, self.missing_to_be_sound())
        return max(flows, 0)


_ANYWHERE: Final = b""
"""The place of all flows at a TTL whose addresses tell nothing: before the first hop, where nothing
ever answers, and where packets are balanced one by one."""


class Multipath:
    """The traced flows to one target, and the paths that they show."""

    def __init__(self, *, max_ttl: int, max_probes: int) -> None:
        self._cost = max_ttl * PACKETS
        self._probes_left = max_probes
        self._flows: dict[Hashable, Sight] = {}
        self._hops: list[_Hop] = []

    def saw(self, sight: Sight) -> None:
        """Add a flow's ended trace. A repeated flow only counts against the probe budget."""
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
        """How many flows to trace together next; 0 if paths are known or the budget is spent."""
        return min(self._missing(), AT_ONCE, self._affordable())

    def links(self) -> tuple[Edge, ...]:
        """The links between addresses of consecutive TTLs, by TTL, the most flows first."""
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
        """Notices of what the flows do not show."""
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
        """How many more flows the rule needs, if they spread over the paths as those before."""
        if not self._flows:
            return FIRST
        count = len(self._flows)
        return max(
            math.ceil(node.missing() * count / node.flows) for node in self._nodes().values()
        )

    def _nodes(self) -> dict[tuple[int, bytes], _Node]:
        """The nodes that flows passed, by the TTL of their successors and by place."""
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
        """The flow's place at that TTL; None if only other flows were answered there."""
        if not ttl or self._hops[ttl - 1].unsteady or not self._hops[ttl - 1].addresses:
            return _ANYWHERE
        met = sight.answers.get(ttl, ())
        return met[0] if met else None

    def _sure(
        self, sight: Sight, nodes: Mapping[tuple[int, bytes], _Node]
    ) -> Iterator[bytes | None]:
        """The flow's proven place, at TTL 1, 2, 3 …; None if it is in doubt."""
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
        """TTLs with a silent router on a path, which leaves the answering nodes behind it without a
        link."""
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
        """Whether links behind the node are missing for lack of answers."""
        hop = self._hops[ttl - 1]
        joined = len(hop.addresses) == 1 and hop.sound
        return bool(node.addresses) and not joined and not node.sound
