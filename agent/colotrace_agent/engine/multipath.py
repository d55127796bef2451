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
the second round. A TTL at which one flow met several addresses is *unsteady*: no link touches it,
nor any TTL behind it until there is one with a single address, where all paths have joined again.
Behind a node with several successors, at TTLs with several addresses, a flow counts where both its
probes were answered, and none does before `_REPEATS` flows through that node have said the same
thing twice: were it balancing by packet, so many would have by a chance of 1 in 1,000 at most.
What cannot be told: branches of a balancer by packet of which all but one are silent look like
loss.

Paths of unequal length: a flow ends where it met the target (`Sight.end_ttl`), a longer one
goes on; what a flow's probes met beyond its own end is not part of its path.
"""

import functools
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from colotrace_proto.messages import MAX_LINKS, Link

CONFIDENCE = 0.95
PACKETS = 2
"""Probes of each flow at each TTL."""
FIRST = 7
"""Flows at first. One more than the rule asks for: with an odd number, packets that are balanced in
turn do not give each flow the same address again."""
AT_ONCE = 13
"""Flows under way together, at most: a small trace beside them waits for few probes only."""
MAX_FLOWS = 256
_REPEATS = 10
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
class _Hop:
    """One TTL over all flows that go so far."""

    flows: int = 0
    answered: int = 0
    addresses: set[bytes] = field(default_factory=set)
    unsteady: bool = False


@dataclass(slots=True)
class _Node:
    """One place on the way, over the flows that went through it and on: how many they are, how
    many of them were answered at the next TTL, how many there twice."""

    flows: int = 0
    answered: int = 0
    repeats: int = 0
    passed: float = 0.0
    """As `flows`, with those that probably went through it too, but got no answer from it."""
    successors: set[bytes] = field(default_factory=set)

    @property
    def doubtful(self) -> bool:
        """Whether it is not known that it keeps each flow to one of its successors."""
        return len(self.successors) > 1 and self.repeats < _REPEATS

    @property
    def needed(self) -> int:
        """How many answered flows the rule asks for; none where nothing ever answers behind."""
        return flows_needed(len(self.successors)) if self.successors else 0

    @property
    def starved(self) -> bool:
        """Whether enough flows went through, had they all been answered."""
        return self.answered < self.needed and self.passed >= _PATIENCE * self.needed

    def missing(self) -> int:
        """How many more flows are to go through it."""
        flows = 0 if self.starved else self.needed - self.answered
        if self.doubtful and self.passed < _PATIENCE * max(self.needed, _REPEATS):
            flows = max(flows, _REPEATS - self.repeats)
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
            hop.flows += 1
            hop.answered += bool(met)
            hop.addresses.update(met)
            hop.unsteady |= len(set(met)) > 1

    def wanted(self) -> int:
        """How many more flows to trace together now; 0 where the paths are known, or the budget is
        spent."""
        return min(self._missing(), AT_ONCE, self._affordable())

    def links(self) -> tuple[Link, ...]:
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
        return tuple(Link(*ends, count) for ends, count in ordered[:MAX_LINKS])

    def notices(self) -> tuple[str, ...]:
        """What is to be said of what could not be found out."""
        nodes = self._nodes()
        unsteady = {ttl for ttl, hop in enumerate(self._hops, 1) if hop.unsteady}
        doubtful = {ttl for (ttl, _), node in nodes.items() if node.doubtful} - unsteady
        starved = {ttl for (ttl, _), node in nodes.items() if node.starved}
        words = []
        if unsteady:
            words.append(
                f"packets of one flow met several addresses at TTL {_listed(unsteady)}: they are "
                "balanced packet by packet there, or the route changed; no links are shown from "
                "there on until the paths join"
            )
        if doubtful:
            words.append(
                f"too few answers at TTL {_listed(doubtful)} to tell balancing by flow from "
                "balancing by packet; not all links are shown from there on until the paths join"
            )
        if starved:
            words.append(
                f"answers are missing at TTL {_listed(starved)}, where routers probably limit "
                "them: there may be more paths"
            )
        if self._missing() > self._affordable():
            words.append(
                f"the probe budget ended with {len(self._flows)} flows: there may be more paths"
            )
        return tuple(words)

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
                met = sight.answers.get(ttl, ())
                node.flows += 1
                node.answered += bool(met)
                node.repeats += len(met) > 1
                node.successors.update(met)
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
            if len(hop.addresses) == 1:
                doubt = False
                yield met[0] if met else None
                continue
            place = self._place(sight, ttl - 1)
            doubt = doubt or hop.unsteady or place is None or nodes[ttl, place].doubtful
            yield met[0] if len(met) >= PACKETS and not doubt else None


def _listed(ttls: set[int]) -> str:
    return ", ".join(map(str, sorted(ttls)))
