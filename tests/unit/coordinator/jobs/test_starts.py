"""Which job starts next: room at the coordinator, at the agents, and in the rate to the target."""

import math
from collections import Counter

import pytest
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.jobs.starts import Gate, Starts, Wish
from colotrace_coordinator.jobs.target_rates import BURST_S, TargetLimits, TargetRates, target_of
from colotrace_proto.messages import ColoName

MINE, THEIRS = Origin("mine", "t", 1), Origin("theirs", "t", 2)
UNLIMITED = TargetLimits(1e9, 1e9)
DEN, SIN = ColoName("den01"), ColoName("sin01")


class World:
    """A clock, colos with room for so many jobs, and the starts so far."""

    def __init__(self, *, room: int = 100, limits: TargetLimits = UNLIMITED, **colos: int) -> None:
        self.colos = Counter({ColoName(name): most for name, most in colos.items()})
        self.starts: Starts[str] = Starts(
            rates=TargetRates(limits),
            slots=lambda colo: self.colos[colo],
        )
        self.room = room
        self.now = 0.0
        self.started: list[tuple[float, str]] = []
        self.wishes: dict[str, Wish] = {}

    def ask(
        self, name: str, origin: Origin = MINE, *, colo: ColoName = DEN, to: str = "192.0.2.1"
    ) -> None:
        self.wishes[name] = Wish(origin, colo, to, 45)
        self.starts.push(name, self.wishes[name])

    def start(self) -> list[str]:
        names = []
        while (name := self.starts.pop(self.now, self.room)) is not None:
            names.append(name)
        self.started += [(self.now, name) for name in names]
        return names

    def end(self, name: str) -> None:
        colo = self.wishes[name].colo
        self.starts.remove(name)
        self.starts.colo_has_room(colo)

    def run(self) -> None:
        """Start what can be, until nothing waits for time any more."""
        while True:
            self.start()
            at = self.starts.next_at()
            if at == math.inf:
                return
            assert at >= self.now
            self.now = max(at, self.now)


def test_full_colo_does_not_hold_up_others() -> None:
    world = World(den01=1, sin01=1)
    for name in ("d1", "d2", "d3"):
        world.ask(name)
    world.ask("s1", colo=SIN)
    assert world.start() == ["d1", "s1"]
    world.end("s1")
    assert world.start() == []
    world.end("d1")
    assert world.start() == ["d2"]


def test_job_that_waits_for_its_target_leaves_its_slot_to_the_next() -> None:
    """The slot became free for it, and its target's rate was used up meanwhile."""
    world = World(den01=1, sin01=9, limits=TargetLimits(of_account=45, in_all=90))
    world.ask("running", to="192.0.2.3")
    assert world.start() == ["running"]
    world.ask("first", to="192.0.2.1")
    world.ask("second", to="192.0.2.2")
    assert world.start() == []
    for name in ("s1", "s2"):
        world.ask(name, colo=SIN, to="192.0.2.1")
    assert world.start() == ["s1", "s2"]
    world.end("running")
    assert world.start() == ["second"]
    assert world.starts.waits_for("first") is Gate.TARGET


def test_slot_of_a_full_colo_goes_to_the_account_with_the_fewest_jobs() -> None:
    """Not to the account whose jobs have waited longest."""
    world = World(room=1_000, den01=4)
    for number in range(100):
        world.ask(f"{number}")
    assert world.start() == ["0", "1", "2", "3"]
    world.ask("theirs", THEIRS)
    assert world.start() == []
    world.end("0")
    assert world.start() == ["theirs"]
    world.end("theirs")
    assert len(world.start()) == 1


def test_jobs_of_one_account_leave_slots_of_a_colo_to_others() -> None:
    """A thousand requests of ten rows each; the others start at once, whatever they hold."""
    world = World(room=20_000, den01=100)
    for number in range(10_000):
        world.ask(f"{number}", Origin("mine", "t", number // 10))
    mine = len(world.start())
    assert 85 <= mine < 95
    world.ask("same account", Origin("mine", "other", 20_000))
    assert world.start() == ["same account"]
    world.ask("theirs", THEIRS._replace(request=20_001))
    assert world.start() == ["theirs"]
    world.end("0")
    assert len(world.start()) <= 1


def test_all_jobs_of_a_full_colo_start_in_the_end() -> None:
    world = World(room=1_000, den01=3)
    origins = [Origin(f"account {n % 3}", f"caller {n % 2}", n % 7) for n in range(60)]
    for number, origin in enumerate(origins):
        world.ask(f"{number}", origin)
    running = world.start()
    while running:
        world.end(running.pop(0))
        running += world.start()
        assert len(running) <= 3
    assert {name for _, name in world.started} == {f"{number}" for number in range(60)}
    assert (world.starts.waiting, world.starts.running) == (0, 0)


def test_removed_job_does_not_start() -> None:
    """Wherever it waits."""
    world = World(den01=1)
    for name in ("d1", "d2", "d3", "d4"):
        world.ask(name)
    assert world.start() == ["d1"]
    world.ask("d5")
    for name in ("d2", "d5"):
        world.starts.remove(name)
    assert world.starts.waiting == 2
    world.end("d1")
    assert world.start() == ["d3"]
    world.end("d3")
    assert world.start() == ["d4"]
    world.end("d4")
    assert (world.starts.waiting, world.starts.running) == (0, 0)


def test_room_of_the_coordinator_is_bounded() -> None:
    world = World(room=10, den01=1_000)
    for number in range(50):
        world.ask(f"{number}")
    assert len(world.start()) == 8
    assert world.starts.running == 8
    world.end("0")
    assert world.start() == ["8"]


def test_waiting_jobs_are_counted_by_what_they_wait_for() -> None:
    world = World(limits=TargetLimits(of_account=45, in_all=45), den01=3, sin01=1)
    for number in range(4):
        world.ask(f"limited {number}")
    for number in range(2):
        world.ask(f"full {number}", colo=SIN, to=f"198.51.100.{number}")
    world.start()
    world.room = 0
    world.ask("no room", to="203.0.113.1")
    assert world.start() == []
    waiting = {gate: world.starts.waiting_for(gate) for gate in Gate}
    assert waiting == {Gate.COORDINATOR: 1, Gate.COLO: 1, Gate.TARGET: 2}
    assert sum(waiting.values()) == world.starts.waiting


def test_rate_to_one_target_is_bounded() -> None:
    """Over any time, one account sends its rate, and what the burst allows."""
    limits = TargetLimits(of_account=450, in_all=10_000)
    world = World(room=1_000, limits=limits, den01=1_000)
    for number in range(100):
        world.ask(f"{number}")
    world.run()
    assert len(world.started) == 100
    for at, _ in world.started:
        sent = 45 * sum(1 for other, _ in world.started if other <= at)
        assert sent <= 450 * (at + BURST_S) + 46
    assert 8.5 <= world.now <= 9.5
    limited = [world.starts.limited_s(f"{number}", world.now) for number in range(100)]
    assert sum(each > 0 for each in limited) == 89


def test_rate_is_of_all_accounts_together() -> None:
    """Three accounts share what one target may get in all."""
    limits = TargetLimits(of_account=450, in_all=900)
    world = World(room=1_000, limits=limits, den01=1_000)
    for number in range(90):
        world.ask(f"{number}", Origin(f"account {number % 3}", "t", number % 3))
    world.run()
    assert len(world.started) == 90
    assert world.now >= 90 * 45 / 900 - BURST_S - 0.06


def test_other_targets_are_not_held_up() -> None:
    limits = TargetLimits(of_account=45, in_all=90)
    world = World(limits=limits, den01=1_000)
    for number in range(5):
        world.ask(f"{number}")
    world.ask("other", to="192.0.2.2")
    assert world.start() == ["0", "1", "other"]


def test_small_request_of_another_account_passes_those_that_wait_for_the_rate() -> None:
    limits = TargetLimits(of_account=450, in_all=900)
    world = World(room=1_000, limits=limits, den01=1_000)
    for number in range(100):
        world.ask(f"{number}")
    world.start()
    world.ask("theirs", THEIRS)
    assert world.start() == ["theirs"]


def test_resolved_address_counts() -> None:
    """Traces by name use up the rate of the address that they turn out to go to."""
    rates = TargetRates(TargetLimits(of_account=450, in_all=450))
    rates.spend("mine", "192.0.2.1", 4_500, 0.0)
    assert rates.open_at("theirs", "192.0.2.1", 0.0) == 10 - BURST_S
    assert rates.open_at("theirs", "192.0.2.2", 0.0) == 0.0


SMALL = TargetLimits(of_account=45, in_all=90)


def _named(*, running: int) -> World:
    """So many running jobs, each of a name of its own."""
    world = World(room=1_000, limits=SMALL, den01=1_000)
    for number in range(running):
        world.ask(f"{number}", to=f"{number}.example")
    assert len(world.start()) == running
    return world


def test_names_of_one_address_share_its_rate() -> None:
    """Jobs whose agents have not probed yet wait once the address has its packets."""
    world = _named(running=5)
    kept = [
        world.starts.resolved(f"{number}", "192.0.2.1", 0.0, may_wait=True) for number in range(5)
    ]
    assert kept == [True, True, False, False, False]
    assert (world.starts.running, world.starts.waiting) == (2, 3)
    world.started.clear()
    world.run()
    assert [name for _, name in world.started] == ["2", "3", "4"]
    assert world.now == pytest.approx(3.0, abs=0.1)
    assert world.starts.limited_s("4", world.now) == world.now


def test_job_that_has_probed_counts_and_does_not_wait() -> None:
    world = _named(running=3)
    for number in range(3):
        assert world.starts.resolved(f"{number}", "192.0.2.1", 0.0, may_wait=False)
    world.ask("literal")
    assert world.start() == []
    assert world.starts.next_at() == pytest.approx(2.0)


def test_packets_of_a_name_count_for_its_address_only() -> None:
    """Once the address is known, the name has its packets back: its next job starts earlier."""
    world = World(room=1_000, limits=SMALL, den01=1_000)
    for number in range(3):
        world.ask(f"{number}", to="a.example")
    assert world.start() == ["0", "1"]
    assert world.starts.next_at() == pytest.approx(1.0)
    assert world.starts.resolved("0", "192.0.2.1", 0.0, may_wait=True)
    assert world.starts.resolved("1", "192.0.2.2", 0.0, may_wait=True)
    assert world.starts.next_at() == 0.0
    assert world.start() == ["2"]


def test_name_of_a_job_that_waits_for_its_address_has_its_packets_back() -> None:
    world = _named(running=3)
    kept = [
        world.starts.resolved(f"{number}", "192.0.2.1", 0.0, may_wait=True) for number in range(3)
    ]
    assert kept == [True, True, False]
    for number in ("a", "b"):
        world.ask(number, to="2.example")
    assert world.start() == ["a", "b"]


def test_other_address_of_a_name_at_another_agent_counts_too() -> None:
    """The first agent was lost, and may have probed the first address."""
    world = _named(running=1)
    for address in ("192.0.2.1", "192.0.2.2"):
        assert world.starts.resolved("0", address, 0.0, may_wait=True)
    for number in ("a", "b"):
        for address in ("192.0.2.1", "192.0.2.2"):
            world.ask(f"{number} {address}", to=address)
    assert world.start() == ["a 192.0.2.1", "a 192.0.2.2"]


def test_job_is_counted_once_for_its_address() -> None:
    world = World(room=1_000, limits=SMALL, den01=1_000)
    world.ask("0")
    world.start()
    for _ in range(10):
        assert world.starts.resolved("0", "192.0.2.1", 0.0, may_wait=True)
    world.ask("1")
    assert world.start() == ["1"]


def test_packets_that_were_not_sent_are_given_back() -> None:
    """The target answered early: jobs that wait start earlier."""
    world = World(room=1_000, limits=SMALL, den01=1_000)
    for number in range(3):
        world.ask(f"{number}")
    assert world.start() == ["0", "1"]
    assert world.starts.next_at() == pytest.approx(1.0)
    world.starts.sent("0", 5, 0.0)
    world.starts.sent("1", 5, 0.0)
    world.end("0")
    world.end("1")
    assert world.starts.next_at() == 0.0
    assert world.start() == ["2"]


def test_packets_beyond_those_expected_count() -> None:
    """A multipath job sends as many as the paths need."""
    world = World(room=1_000, limits=SMALL, den01=1_000)
    world.ask("0")
    world.start()
    for sent in (60, 90, 450):
        world.starts.sent("0", sent, 0.0)
    world.ask("1")
    assert world.start() == []
    assert world.starts.next_at() == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("Example.COM.", "example.com"),
        ("2001:db8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
    ],
)
def test_spellings_of_one_target_count_together(text: str, target: str) -> None:
    assert target_of(text) == target


def test_siblings_start_together() -> None:
    """The targets that a request wants from one colo, though another request would be next."""
    world = World(den01=10, sin01=10)
    for name in ("m1", "m2"):
        world.ask(name)
    world.ask("m3", colo=SIN)
    world.ask("t1", THEIRS)
    assert world.starts.pop(0.0, 100) == "m1"
    assert world.starts.pop_sibling("m1", 0.0) == "m2"
    assert world.starts.pop_sibling("m2", 0.0) is None
    assert world.starts.pop(0.0, 100) == "t1"
    assert world.starts.pop_sibling("t1", 0.0) is None
    assert world.start() == ["m3"]


def test_sibling_waits_for_its_colo_and_its_target_as_others_do() -> None:
    world = World(den01=1, limits=TargetLimits(45.0, 45.0))
    for name in ("a", "b"):
        world.ask(name)
    assert world.starts.pop(0.0, 100) == "a"
    assert world.starts.pop_sibling("a", 0.0) is None
    assert world.starts.waits_for("b") in (Gate.COLO, Gate.TARGET)
