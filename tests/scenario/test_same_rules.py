"""The single engine and the bulk engine keep the same rules: one test drives both.

Both get the same events, traces side by side: starts, sends that fail or are not stamped, answers
of every kind from everybody, late, early and repeated, packets without room, time. After each, all
that is seen of every trace and all counters must be the same.

Three things are kept out, since they differ by design. What routers' limits are learned from
earlier traces is sampled in bulk (`Forgetful` learns nothing on either side). Of the budgets that
all traces share, the engines give the next packets to different traces (`test_shared_budgets`). And
how long the flow of an ended trace stays taken is exact to a quarter in bulk (`LONGEST`).
"""

import errno

import hypothesis.strategies as st
import pytest
from colotrace_agent.bulk.engine import BulkEngine
from colotrace_agent.engine.engine import Engine
from colotrace_agent.engine.identity import QUARANTINE_NS
from colotrace_agent.engine.limits.budget import (
    BURST,
    DEFAULT_NEAR_RATE,
    DEFAULT_RATE,
    NEAR_HOPS,
    STEP,
    TARGET_BURST,
    TARGET_RATE,
    grain_of,
)
from colotrace_agent.model import TraceSpec
from colotrace_proto.messages import PacketType
from hypothesis import example, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scenario.forge import forged
from scenario.kinds import ICMP4, ICMP6, Error, Forgery, Nat, Protocol, QuotedId
from scenario.schema import Behaviour
from scenario.sides import BulkSide, Fate, Name, SingleSide, assert_same, totals
from scenario.sides_world import (
    MS,
    RATE,
    SECOND,
    SECRET,
    SOURCE,
    START,
    STRANGER,
    TARGETS,
    Forgetful,
    packet,
    router,
)  # fmt: skip

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
        packet_type=st.sampled_from(
            [PacketType.ICMP, PacketType.UDP, PacketType.TCP, PacketType.GRE]
        ),
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
        single = Engine(rate=RATE, secret=SECRET, routers=Forgetful(limited))
        bulk = BulkEngine(self.spec, rate=RATE, secret=SECRET, routers=Forgetful(limited))
        self.single, self.bulk = SingleSide(single), BulkSide(bulk)
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
        spec = TraceSpec(
            target,
            self.spec.packet_type,
            max_ttl=self.spec.max_ttl,
            packets_per_ttl=self.spec.packets_per_ttl,
            wait_ns=self.spec.wait_ns,
        )
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
                data.append(packet(probe, how, source=source, behaviour=Behaviour(), ttl=1))
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


def spec_to(target: bytes, *, max_ttl: int, packets: int) -> TraceSpec:
    """A trace of ICMP."""
    return TraceSpec(target, max_ttl=max_ttl, packets_per_ttl=packets)


@pytest.mark.parametrize(("stamp", "undeparted"), [(2, 0), (-1, 1)])
def test_stamp_that_is_late_or_impossible_is_not_used(stamp: int, undeparted: int) -> None:
    """The answer's RTT counts as that of a probe without a stamp, in both engines. An impossible
    one says that the clock was set."""
    target = TARGETS[4][0]
    spec = spec_to(target, max_ttl=3, packets=1)
    sides = (
        SingleSide(Engine(rate=RATE, secret=SECRET)),
        BulkSide(BulkEngine(spec, rate=RATE, secret=SECRET)),
    )
    for side in sides:
        side.start(spec, SOURCE[4], now=START)
        name, *_ = side.send(Fate(stamp=stamp), frozenset([1, 2]), now=START)
        how, source = Error.TIME_EXCEEDED, router(4, 1)
        data = packet(side.packet(name), how, source=source, behaviour=Behaviour(), ttl=1)
        side.hear([data], at=START + MS, now=START + MS)
        side.stamp()
        (seen,) = side.seen().values()
        assert (seen.unstamped, len(seen.undeparted)) == (1, undeparted)
        assert seen.clock_stepped == (stamp < 0)


@pytest.mark.parametrize(
    ("answered", "failing", "datagrams", "after_ms", "counts", "unplaced"),
    [
        ({1, 2}, set(), 1, 500, True, 0),
        ({1, 2}, set(), 1, 1_500, False, 1),
        ({1, 3}, set(), 1, 500, False, 1),
        (set(), {1}, 5, 500, False, 2),
    ],
    ids=["only probe without an answer", "waited for no more", "beyond is a router", "many"],
)
def test_datagram_that_names_no_probe_is_placed_by_elimination(
    answered: set[int], failing: set[int], datagrams: int, after_ms: int, counts: bool,
    unplaced: int,
) -> None:  # fmt: skip
    """If it cannot be placed, it shows at least that the target was reached, once a probe."""
    target = TARGETS[4][0]
    spec = TraceSpec(target, PacketType.UDP, max_ttl=3, packets_per_ttl=1, wait_ns=SECOND)
    single = SingleSide(Engine(rate=RATE, secret=SECRET))
    bulk = BulkSide(BulkEngine(spec, rate=RATE, secret=SECRET))
    for side in (single, bulk):
        side.start(spec, SOURCE[4], now=START)
        names = side.send(Fate(errno.EPERM), frozenset(failing), now=START)
        for name in names:
            if name.ttl in answered:
                probe, source = side.packet(name), router(4, name.ttl)
                how = Error.TIME_EXCEEDED
                data = packet(probe, how, source=source, behaviour=Behaviour(), ttl=1)
                side.hear([data], at=START + MS, now=START + MS)
        at, probe = START + after_ms * MS, side.packet(names[-1])
        data = packet(probe, "rst-ack", source=target, behaviour=Behaviour(), ttl=1)
        side.hear([data] * datagrams, at=at, now=at)
        (seen,) = side.seen().values()
        assert (seen.reached, seen.unplaced) == (counts, unplaced)
    assert_same(single.seen(), bulk.seen())


@example(traces=100, packets=3, gap_us=4_000)
@given(traces=st.integers(20, 60), packets=st.integers(1, 3), gap_us=st.integers(500, 4_000))
@settings(max_examples=10)
def test_shared_budgets(traces: int, packets: int, gap_us: int) -> None:
    """At any time both engines have sent as many packets, and as many to the first hops, but for
    what one turn takes; and never more than the budgets allow."""
    spec = spec_to(bytes(4), max_ttl=8, packets=packets)
    sides = (SingleSide(Engine(secret=SECRET)), BulkSide(BulkEngine(spec, secret=SECRET)))
    for number in range(traces):
        target = bytes([203, 0, 113, number])
        for side in sides:
            side.start(spec_to(target, max_ttl=8, packets=packets), SOURCE[4], now=START)
    sent = [[0, 0], [0, 0]]
    for turn in range(400):
        now = START + turn * gap_us * 1_000
        for counts, side in zip(sent, sides, strict=True):
            names = side.send(Fate(), frozenset(), now=now)
            counts[0] += len(names)
            counts[1] += sum(name.ttl <= NEAR_HOPS for name in names)
        passed_s = (now - START) / 1e9
        for total, near in sent:
            assert total <= BURST + passed_s * DEFAULT_RATE + 1
            assert near <= BURST + passed_s * DEFAULT_NEAR_RATE + 1
        # In bulk a turn waits for three grains of a budget that is used up.
        turns = 8 * STEP + 3 * grain_of(DEFAULT_RATE) + 2 * gap_us * DEFAULT_RATE / 1e6
        assert abs(sent[0][1] - sent[1][1]) <= turns
    whole = [traces * 8 * packets, traces * NEAR_HOPS * packets]
    assert sent == [whole, whole] or 400 * gap_us < 1_000_000


def test_one_target_again_and_again() -> None:
    """Whoever traces one target many times does not send it more than its budget, in bulk too."""
    target = TARGETS[4][0]
    spec = spec_to(target, max_ttl=30, packets=10)
    sides = (
        SingleSide(Engine(rate=RATE, secret=SECRET)),
        BulkSide(BulkEngine(spec, rate=RATE, secret=SECRET)),
    )
    for side in sides:
        sent, now = 0, START
        for _ in range(40):
            side.start(spec, SOURCE[4], now=now)
            for _ in range(10):
                sent += len(side.send(Fate(), frozenset(), now=now))
                now += 10 * MS
            assert sent <= TARGET_BURST + (now - START) / 1e9 * TARGET_RATE
            side.stop(now)
        assert sent >= (now - START) / 1e9 * TARGET_RATE


@pytest.mark.parametrize("overflows", [0, 5])
def test_the_hosts_own_losses_are_not_put_down_to_routers(overflows: int) -> None:
    """A hop lacks answers and hops beyond it do not: its router's limit, unless the host itself had
    no room for packets."""
    target = TARGETS[4][0]
    spec = spec_to(target, max_ttl=4, packets=10)
    sides = (
        SingleSide(Engine(rate=RATE, secret=SECRET)),
        BulkSide(BulkEngine(spec, rate=RATE, secret=SECRET)),
    )
    for side in sides:
        side.start(spec, SOURCE[4], now=START)
        for name in side.send(Fate(), frozenset(), now=START):
            if name.ttl == 2 and name.earlier:
                continue
            probe = side.packet(name)
            how, source = Error.TIME_EXCEEDED.value, router(4, name.ttl)
            if name.ttl == 4:
                how, source = "rst-ack", target
            data = packet(probe, how, source=source, behaviour=Behaviour(), ttl=1)
            side.hear([data], at=START + MS, now=START + MS)
        side.engine.overflowed(overflows)
        (seen,) = side.expire(START + 2 * SECOND).values()
        assert seen.overflows == overflows
        assert seen.limiting == ([] if overflows else [2])


@given(
    rtt_ms=st.integers(26, 300),
    silent=st.one_of(
        st.frozensets(st.integers(0, 9), min_size=1, max_size=9),
        st.sampled_from([{0}, {3}, {9}, {8, 9}, {6, 7, 8, 9}, {1, 4}]),
    ),
    refused_at=st.sampled_from([None, 3, 4]),
)
@example(rtt_ms=100, silent={8, 9}, refused_at=4)
@example(rtt_ms=100, silent={3}, refused_at=None)
@example(rtt_ms=40, silent={0, 1}, refused_at=None)
@settings(max_examples=100)
def test_silent_probes_are_waited_for_as_long(
    rtt_ms: int, silent: set[int], refused_at: int | None
) -> None:
    """Patience by the RTT of the probe's own hop, of a later one, or of the one that refused: with
    RTTs beyond which it is more than its least. Both engines send and end at the same times."""
    target = TARGETS[4][0]
    spec = spec_to(target, max_ttl=5, packets=2)
    single = SingleSide(Engine(rate=RATE, secret=SECRET))
    bulk = BulkSide(BulkEngine(spec, rate=RATE, secret=SECRET))
    for side in (single, bulk):
        side.start(spec, SOURCE[4], now=START)
    now = START
    for turn in range(60):
        names = single.send(Fate(), frozenset(), now=now)
        assert bulk.send(Fate(), frozenset(), now=now) == names
        if turn == 0:
            now += rtt_ms * MS
            for place in set(range(len(names))) - silent:
                how = Error.TIME_EXCEEDED
                if names[place].ttl == refused_at:
                    how = Error.HOST_UNREACHABLE
                for side in (single, bulk):
                    probe, source = side.packet(names[place]), router(4, names[place].ttl)
                    data = packet(probe, how, source=source, behaviour=Behaviour(), ttl=1)
                    side.hear([data], at=now, now=now)
        assert single.expire(now) == bulk.expire(now)
        deadline = single.engine.next_deadline(now)
        if deadline is None:
            break
        now = max(now, deadline)
    assert not single.seen()
    assert not bulk.seen()
