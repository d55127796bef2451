"""The single engine and the bulk engine keep the same rules: one test drives both.

Both get the same events, traces side by side: starts, sends that fail or are not stamped, answers
of every kind from everybody, late, early and repeated, packets without room, time. After each, all
that is seen of every trace and all counters must be the same.

Three things are kept out, since they differ by design. What routers' limits are learned from
earlier traces is sampled in bulk (`Forgetful` learns nothing on either side). Of the budgets that
all traces share, the engines give the next packets to different traces (`test_same_budgets`). And
how long the flow of an ended trace stays taken is exact to a quarter in bulk (`LONGEST`).
"""

import errno
from dataclasses import replace

import hypothesis.strategies as st
from colotrace_agent.engine.identity import QUARANTINE_NS
from colotrace_agent.model import TraceSpec
from colotrace_agent.packets.formats import FORMATS
from colotrace_proto.messages import PacketType
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scenario.forge import forged
from scenario.kinds import ICMP4, ICMP6, Error, Forgery, Nat, Protocol, QuotedId
from scenario.schema import Behaviour
from scenario.sides import Fate, Name, assert_same, both_sides, totals
from scenario.sides_world import (
    MS,
    SECOND,
    SOURCE,
    START,
    STRANGER,
    TARGETS,
    Forgetful,
    packet,
    router,
)

LONGEST = QUARANTINE_NS - 6 * SECOND
ERRORS = [Error.TIME_EXCEEDED] * 4 + [Error.PORT_UNREACHABLE] * 3
ERRORS += [error for error in Error if error in ICMP4 and error in ICMP6]
BEHAVIOURS = st.one_of(
    st.just(Behaviour()),
    st.builds(
        Behaviour,
        quote=st.sampled_from(["full", 8]),
        nat=st.sampled_from([Nat.NONE, Nat.SOURCE, Nat.SOURCE_AND_PORT]),
        quoted_id=st.sampled_from(QuotedId),
        inner_options=st.booleans(),
    ),
)


class SameRules(RuleBasedStateMachine):
    """See above."""

    @initialize(
        packet_type=st.sampled_from(list(FORMATS)),
        family=st.sampled_from([4, 6]),
        size=st.sampled_from([(3, 1), (4, 2), (6, 3), (5, 3), (3, 1), (6, 3), (22, 10)]),
        wait_ms=st.sampled_from([1_000, 5_000]),
        limited=st.sampled_from([None, None, 2, 4]),
    )
    def begin(
        self,
        packet_type: PacketType,
        family: int,
        size: tuple[int, int],
        wait_ms: int,
        limited: int | None,
    ) -> None:
        """Options that all traces share."""
        self.family = family
        self.spec = TraceSpec(
            bytes(4 if family == 4 else 16),
            packet_type,
            max_ttl=size[0],
            packets_per_ttl=size[1],
            wait_ns=wait_ms * MS,
        )
        self.now = START
        # A budget that is used up and a router that is spared at once: the order of the two
        # differs by design.
        limited = limited if size[1] < 10 else None
        self.single, self.bulk = both_sides(self.spec, routers=lambda: Forgetful(limited))
        self.names: list[Name] = []
        if size[1] == 10:  # little is left of one target's budget
            for _ in range(3):
                self.start(0, frozenset(), Fate())
                assert_same(self.single.stop(self.now), self.bulk.stop(self.now))
            self.start(0, frozenset(), Fate())

    @rule(
        which=st.integers(0, 2),
        ttls=st.frozensets(st.integers(1, 6), max_size=2),
        fate=st.sampled_from(
            [Fate(), Fate(), Fate(errno.EPERM), Fate(errno.ENOBUFS)]
            + [Fate(stamp=stamp) for stamp in (0, -1, 2, 2)]
        ),
    )
    def begin_trace(self, which: int, ttls: frozenset[int], fate: Fate) -> None:
        """A trace, if none to that target is under way, and what it may send at once."""
        self.start(which, ttls, fate)

    def start(self, which: int, ttls: frozenset[int], fate: Fate) -> None:
        """The same."""
        target = TARGETS[self.family][which]
        if target in self.single.seen():
            return
        spec = replace(self.spec, target=target)
        for side in (self.single, self.bulk):
            side.start(spec, SOURCE[self.family], now=self.now)
        self._send(ttls, fate)

    @rule(
        ttls=st.frozensets(st.integers(1, 6), max_size=2),
        fate=st.sampled_from([Fate(), Fate(errno.EPERM), Fate(stamp=0)]),
    )
    def send(self, ttls: frozenset[int], fate: Fate) -> None:
        """All that may leave."""
        self._send(ttls, fate)

    def _send(self, ttls: frozenset[int], fate: Fate) -> None:
        names = self.single.send(fate, ttls, now=self.now)
        assert self.bulk.send(fate, ttls, now=self.now) == names
        self.names += names
        self._turn()

    @precondition(lambda self: self.names)
    @rule(
        pick=st.integers(0, 1 << 16),
        live=st.sampled_from([True, True, True, False]),
        how=st.one_of(
            st.sampled_from(ERRORS),
            st.sampled_from(["rst-ack", "syn-ack", "rst", "challenge", "rst-bare"]),
        ),
        who=st.sampled_from(
            ["router", "router", "target", "target", "stranger", "prober", "first"]
        ),
        behaviour=BEHAVIOURS,
        forgery=st.sampled_from([None] * 6 + list(Forgery)),
        copies=st.sampled_from([1, 1, 1, 2]),
        early_ms=st.sampled_from([0, 0, 0, 0.001, 1, 40]),
    )
    def hear(
        self,
        pick: int,
        live: bool,
        how: str,
        who: str,
        behaviour: Behaviour,
        forgery: Forgery | None,
        copies: int,
        early_ms: float,
    ) -> None:
        """An answer to one probe, whatever it says, and whoever it is from."""
        known = (self._live() if live else []) or self.names
        name = known[pick % len(known)]
        source = {
            "router": router(self.family, name.ttl),
            "first": router(self.family, 1),
            "target": name.target,
            "stranger": STRANGER[self.family],
            "prober": SOURCE[self.family],
        }[who]
        for side in (self.single, self.bulk):
            probe = side.packet(name)
            # A forged GRE packet may hold nothing that could be answered.
            if forgery is not None and (how in set(Error) or probe.protocol is not Protocol.GRE):
                probe = forged(probe, forgery=forgery)
            ttl = 1 + pick % 3 if who == "target" else 1
            data = packet(probe, how, source=source, behaviour=behaviour, ttl=min(ttl, name.ttl))
            side.hear([data] * copies, at=self.now - round(early_ms * MS), now=self.now)
        self._turn()

    @precondition(lambda self: self.names)
    @rule(picks=st.lists(st.integers(0, 1 << 16), min_size=2, max_size=12), end=st.integers(1, 7))
    def hear_many(self, picks: list[int], end: int) -> None:
        """Plain answers to many probes, in one batch; the target stands at that TTL."""
        known = self._live() or self.names
        names = list(dict.fromkeys(known[pick % len(known)] for pick in picks))
        reached = Error.PORT_UNREACHABLE
        for side in (self.single, self.bulk):
            data = []
            for name in names:
                probe = side.packet(name)
                passes = name.ttl < end
                if not passes and probe.protocol is Protocol.ICMP:
                    how = "rst-ack"
                else:
                    how = Error.TIME_EXCEEDED if passes else reached
                source = router(self.family, name.ttl) if passes else name.target
                data.append(packet(probe, how, source=source))
            side.hear(data, at=self.now, now=self.now)
        self._turn()

    @precondition(lambda self: self.now < START + LONGEST)
    @rule(ms=st.sampled_from([0.01, 1, 1, 2, 10, 10, 21, 60, 260, 640, 1_000, 5_000]))
    def wait(self, ms: float) -> None:
        """Time passes."""
        self.now += round(ms * MS)
        self._turn()

    @precondition(lambda self: self.now < START + LONGEST)
    @rule()
    def wait_for_the_engine(self) -> None:
        """As the shells do it."""
        # The earlier deadline of the two, so that a trace that ends too early is noticed.
        deadlines = [side.engine.next_deadline(self.now) for side in (self.single, self.bulk)]
        if known := [each for each in deadlines if each is not None]:
            self.now = max(self.now, min(known))
            self._send(frozenset(), Fate())

    @rule()
    def stamp(self) -> None:
        """Late stamps come, perhaps after the answers to their probes."""
        for side in (self.single, self.bulk):
            side.stamp()

    @rule(packets=st.sampled_from([1, 2, 3, 0]))
    def lose_or_stop(self, packets: int) -> None:
        """The host had no room for packets; or all traces are ended with what there is."""
        if packets:
            self.single.engine.overflowed(packets)
            self.bulk.engine.overflowed(packets)
        else:
            assert_same(self.single.stop(self.now), self.bulk.stop(self.now))

    def _live(self) -> list[Name]:
        """Probes of traces under way."""
        under_way, numbers = self.single.seen(), self.single.traces
        return [
            name
            for name in self.names
            if name.target in under_way and name.number == numbers[name.target]
        ]

    def _turn(self) -> None:
        assert_same(self.single.expire(self.now), self.bulk.expire(self.now))

    @invariant()
    def is_the_same(self) -> None:
        """Whatever is seen."""
        if hasattr(self, "single"):
            assert_same(self.single.seen(), self.bulk.seen())
            assert totals(self.single.engine) == totals(self.bulk.engine)


TestSameRules = SameRules.TestCase
TestSameRules.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
