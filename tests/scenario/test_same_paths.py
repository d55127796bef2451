"""The single engine and the bulk engine keep the same rules along whole paths.

`test_same_rules` tries any event at any time. Here answers come when a path gives them: each hop
has its RTT, loses some answers, refuses or forwards. Time goes from each answer or deadline of
either engine to the next, so that an engine which stops waiting too early, or sends what the other
spares, is seen. RTTs are long enough for the patience with a silent hop to exceed its floor.
"""

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple
from unittest.mock import patch

import hypothesis.strategies as st
from colotrace_agent.engine.limits import budget
from colotrace_agent.model import TraceSpec
from colotrace_proto.messages import PacketType
from hypothesis import Phase, example, given, settings

from scenario.kinds import Error
from scenario.sides import Fate, Name, assert_same, both_sides, totals
from scenario.sides_world import MS, SOURCE, START, STRANGER, TARGETS, Forgetful, packet, router

TTLS = 8
WAIT_MS = 1_000
ALL = 99
STEPS = 2_000
"""More than any example takes."""


class Hop(NamedTuple):
    """The answers to probes of one TTL; only the first `answered` probes get one."""

    rtt_ms: float = 30
    answered: int = ALL


class Refusal(NamedTuple):
    """A node that refuses all probes that reach it, or only the first probe of each TTL."""

    ttl: int
    error: Error = Error.ADMIN_PROHIBITED
    who: str = "router"
    first_only: bool = False


class Extra(NamedTuple):
    """Further packets about one probe beside its answer, some time after it was sent."""

    ttl: int
    earlier: int
    after_ms: float
    how: str
    who: str
    copies: int = 1
    ttl_left: int = 0
    """What the quoted probe still had of its TTL."""


class Route(NamedTuple):
    """A path: the target stands at `end`, or beyond all TTLs."""

    hops: Sequence[Hop] = (Hop(),) * TTLS
    end: int = TTLS + 1
    refusal: Refusal | None = None
    extras: Sequence[Extra] = ()
    how: str = Error.PORT_UNREACHABLE


class Shape(NamedTuple):
    """Settings of all traces of an example."""

    packet_type: PacketType = PacketType.UDP
    family: int = 4
    packets: int = 4
    turns: int | None = None
    """How many turns are sent before answers are heard; None for all."""
    burst: int = budget.TARGET_BURST
    """The most probes that are sent to one target at once."""
    limited: int | None = None
    """A TTL at which answers are known to be limited."""
    fails: int = 0
    """A TTL whose probes cannot be sent; 0 for none."""


class Answer(NamedTuple):
    """A packet on its way back."""

    at: int
    tie: int
    name: Name
    how: str
    source: bytes
    arriving_ttl: int
    copies: int


class World:
    """Both engines, and the paths that answer them."""

    def __init__(self, shape: Shape, routes: Sequence[Route]) -> None:
        self._shape = shape
        self._routes = dict(zip(TARGETS[shape.family], routes, strict=False))
        self._spec = TraceSpec(
            bytes(4 if shape.family == 4 else 16),
            shape.packet_type,
            max_ttl=TTLS,
            packets_per_ttl=shape.packets,
            wait_ns=WAIT_MS * MS,
        )
        self.single, self.bulk = both_sides(self._spec, routers=lambda: Forgetful(shape.limited))
        self._coming: list[Answer] = []
        self._tie = itertools.count()
        self.now = START

    def trace(self, *, turns: int | None) -> None:
        """One trace along each route, to its end. See `Shape.turns`."""
        holding = turns is not None
        for target in self._routes:
            spec = replace(self._spec, target=target)
            for side in (self.single, self.bulk):
                side.start(spec, SOURCE[self._shape.family], now=self.now)
            if not holding:  # two traces that wait to begin may begin in either order
                self._send(None)
        if holding:
            self._send(turns)
        for _ in range(STEPS):
            # Once probes are spared, turns differ in size: then all probes leave at once.
            holding = holding and bool(self._coming)
            if not holding:
                self._send(None)
            assert_same(self.single.expire(self.now), self.bulk.expire(self.now))
            assert_same(self.single.seen(), self.bulk.seen())
            at = self._next_at(holding=holding)
            if at is None:
                break
            self.now = max(self.now, at)
            self._hear()
        else:
            raise AssertionError("the traces do not end")
        assert not self.single.seen()
        assert totals(self.single.engine) == totals(self.bulk.engine)

    def _next_at(self, *, holding: bool) -> int | None:
        times = [self._coming[0].at] if self._coming else []
        if not holding:
            for side in (self.single, self.bulk):
                deadline = side.engine.next_deadline(self.now)
                times += [] if deadline is None else [deadline]
        return min(times, default=None)

    def _send(self, turns: int | None) -> None:
        fails = frozenset([self._shape.fails])
        fate = Fate(error=1)
        names = self.single.send(fate, fails, now=self.now, turns=turns)
        assert self.bulk.send(fate, fails, now=self.now, turns=turns) == names
        for name in names:
            if name.ttl not in fails:
                self._answer(name, self._routes[name.target])

    def _answer(self, name: Name, route: Route) -> None:
        hop, refusal = route.hops[min(name.ttl, route.end) - 1], route.refusal
        if name.earlier < hop.answered:
            refused = refusal is not None and name.ttl >= refusal.ttl
            if refused and refusal is not None and not (refusal.first_only and name.earlier):
                at_ttl, how, who = refusal.ttl, str(refusal.error), refusal.who
            elif name.ttl < route.end:
                at_ttl, how, who = name.ttl, str(Error.TIME_EXCEEDED), "router"
            else:
                at_ttl, how, who = route.end, route.how, "target"
            source = self._address(who, name, at_ttl)
            self._come(name, hop.rtt_ms, how, source, name.ttl - at_ttl + 1, 1)
        for extra in route.extras:
            if (extra.ttl, extra.earlier) == (name.ttl, name.earlier):
                source = self._address(extra.who, name, name.ttl)
                self._come(
                    name, extra.after_ms, extra.how, source, extra.ttl_left + 1, extra.copies
                )

    def _address(self, who: str, name: Name, ttl: int) -> bytes:
        family = self._shape.family
        return {
            "router": router(family, ttl),
            "target": name.target,
            "stranger": STRANGER[family],
            "prober": SOURCE[family],
        }[who]

    def _come(
        self, name: Name, after_ms: float, how: str, source: bytes, ttl: int, copies: int
    ) -> None:
        at = self.now + round(after_ms * MS)
        answer = Answer(at, next(self._tie), name, how, source, ttl, copies)
        heapq.heappush(self._coming, answer)

    def _hear(self) -> None:
        while self._coming and self._coming[0].at <= self.now:
            each = heapq.heappop(self._coming)
            for side in (self.single, self.bulk):
                probe, ttl = side.packet(each.name), each.arriving_ttl
                data = packet(probe, each.how, source=each.source, ttl=ttl)
                side.hear([data] * each.copies, at=each.at, now=self.now)


HOPS = st.builds(
    Hop,
    rtt_ms=st.sampled_from([1, 30, 30, 60, 90, 120, 200, 1_200]),
    answered=st.sampled_from([ALL, ALL, ALL, ALL, 1, 0, 0]),
)
REFUSALS = st.builds(
    Refusal,
    ttl=st.integers(1, TTLS),
    error=st.sampled_from([Error.ADMIN_PROHIBITED, Error.HOST_UNREACHABLE, Error.PORT_UNREACHABLE]),
    who=st.sampled_from(["router", "router", "stranger", "target", "prober"]),
    first_only=st.booleans(),
)
EXTRAS = st.builds(
    Extra,
    ttl=st.integers(1, TTLS),
    earlier=st.integers(0, 3),
    after_ms=st.sampled_from([0.5, 20, 45, 700, 1_500, 9_000]),
    how=st.sampled_from(
        [Error.TIME_EXCEEDED, Error.HOST_UNREACHABLE, Error.PORT_UNREACHABLE, "challenge", "rst"]
    ),
    who=st.sampled_from(["router", "target", "stranger", "prober"]),
    copies=st.sampled_from([1, 1, 2, 40]),
    ttl_left=st.sampled_from([0, 0, 1, 3]),
)
ROUTES = st.builds(
    Route,
    hops=st.lists(HOPS, min_size=TTLS + 1, max_size=TTLS + 1),
    end=st.integers(2, TTLS + 1),
    refusal=st.one_of(st.none(), REFUSALS),
    extras=st.lists(EXTRAS, max_size=3),
    how=st.sampled_from([Error.PORT_UNREACHABLE, "rst-ack"]),
)
# A turn of the single engine is of probes, one of the bulk engine of whole TTLs: with four probes
# a TTL both send the same in a turn. Where a target's budget is used up and a router is spared as
# well, the two engines send in different orders, as they should: no shape has both.
_TYPES = st.sampled_from([PacketType.UDP, PacketType.TCP, PacketType.ICMP, PacketType.GRE])
_FAMILIES = st.sampled_from([4, 6])
_BURST, _ALL_TURNS, _NO_LIMIT = st.just(budget.TARGET_BURST), st.none(), st.none()
_FAILS = st.sampled_from([0, 0, 0, 2, 5])
SHAPES = st.one_of(
    st.tuples(_TYPES, _FAMILIES, st.just(4), st.integers(1, 2), _BURST, _NO_LIMIT, _FAILS),
    st.tuples(
        _TYPES, _FAMILIES, st.integers(1, 3), _ALL_TURNS, st.sampled_from([6, 10, 17]), _NO_LIMIT,
        _FAILS,
    ),
    st.tuples(
        _TYPES, _FAMILIES, st.sampled_from([1, 3]), _ALL_TURNS, _BURST,
        st.sampled_from([None, 2, 4, 6]), _FAILS,
    ),
).map(Shape._make)  # fmt: skip


_SILENT_BEHIND_REFUSAL = Route(
    hops=[*[Hop(100)] * 3, Hop(100, answered=1), *[Hop(100, answered=0)] * (TTLS - 3)],
    refusal=Refusal(4),
)


# The first probe of each TTL is refused, the others pass: the silent hop has the whole wait.
_SILENT_BEHIND_ROUTERS = Route(
    hops=[*[Hop(100)] * (TTLS - 1), Hop(100, answered=0), Hop()],
    refusal=Refusal(4, first_only=True),
)
# The next probe is spared once the refusal is heard, but the first of the next TTL is not.
_REFUSED_WHILE_BLOCKED = Route(hops=[Hop(1)] * (TTLS + 1), refusal=Refusal(3))
_BLOCKED = Shape(PacketType.GRE, packets=3, burst=10)
_DOUBTED = _REFUSED_WHILE_BLOCKED._replace(refusal=Refusal(3, Error.PORT_UNREACHABLE))
_NEARER_THAN_IT_ANSWERED = Route(
    extras=[Extra(4, 0, 0.5, Error.PORT_UNREACHABLE, "target", ttl_left=2)],
    hops=[Hop(40)] * (TTLS + 1),
)
# A refuser beyond the target is not reported as uncertain.
_REFUSED_BEYOND_THE_TARGET = Route(
    hops=[Hop(), Hop(), *[Hop(answered=0)] * (TTLS - 1)],
    extras=[
        Extra(3, 0, 30, Error.PORT_UNREACHABLE, "target"),
        Extra(5, 0, 0.5, Error.PORT_UNREACHABLE, "stranger"),
    ],
)


@example(shape=Shape(), routes=[_SILENT_BEHIND_REFUSAL], again=False)
@example(shape=Shape(packets=3), routes=[_REFUSED_BEYOND_THE_TARGET], again=False)
@example(shape=Shape(), routes=[_SILENT_BEHIND_ROUTERS], again=False)
@example(shape=_BLOCKED, routes=[_REFUSED_WHILE_BLOCKED], again=False)
@example(shape=Shape(packets=3, limited=2), routes=[Route()] * 3, again=True)
@example(shape=_BLOCKED._replace(packet_type=PacketType.UDP), routes=[_DOUBTED], again=False)
@example(shape=_BLOCKED, routes=[_NEARER_THAN_IT_ANSWERED], again=False)
@given(shape=SHAPES, routes=st.lists(ROUTES, min_size=1, max_size=3), again=st.booleans())
@settings(
    max_examples=60, derandomize=True, report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
def test_both_engines_trace_paths_alike(shape: Shape, routes: list[Route], again: bool) -> None:
    """They send the same probes at the same times, count the same, and end at the same times."""
    with patch.object(budget, "TARGET_BURST", shape.burst):
        world = World(shape, routes)
        world.trace(turns=shape.turns)
        if again:  # the targets are expected where they were, so probes are spared at once
            world.trace(turns=None)
