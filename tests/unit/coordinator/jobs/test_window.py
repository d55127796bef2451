"""How many offers may be unanswered, from how late the answers come."""

import itertools
import math

from colotrace_coordinator.fleet.quickest import ASSUMED_S, Quickest
from colotrace_coordinator.jobs.window import (
    FIRST,
    LEAST,
    MOST,
    RESTART_S,
    SHARE_OF_COLO,
    UNANSWERED_S,
    Window,
)
from colotrace_proto.messages import ColoName, JobId

DEN, SIN = ColoName("den01"), ColoName("sin01")
RTT_S = 0.02


class Fleet:
    """Agents that answer each offer after their RTT, and after those before it have been worked
    off at `rate` a second. Offers as many as the window allows."""

    def __init__(self, rate: float, *, rtt_s: float = RTT_S, agents: int = 10) -> None:
        self.window = Window()
        self.rate, self.rtt_s = rate, rtt_s
        self.agents = [Quickest() for _ in range(agents)]
        self.now = 0.0
        self.waits_s: list[float] = []
        self._free_at = 0.0
        self._numbers = itertools.count()
        self._answers: list[tuple[float, JobId, Quickest]] = []

    def run(self, seconds: float) -> None:
        """Offer and answer for so long."""
        end = self.now + seconds
        while self.now < end:
            list(self.window.forget(self.now))
            while self.window.open():
                number = next(self._numbers)
                self._free_at = max(self._free_at, self.now) + 1 / self.rate
                self.waits_s.append(self._free_at - self.now)
                self.window.offered(JobId(str(number)), DEN, self.now)
                agent = self.agents[number % len(self.agents)]
                self._answers.append((self._free_at + self.rtt_s, JobId(str(number)), agent))
            self.window.held_back(self.now)
            self.now += 0.001
            while self._answers and self._answers[0][0] <= self.now:
                _, job_id, agent = self._answers.pop(0)
                self.window.answered(job_id, agent, self.now)


def test_offers_wait_no_longer_than_needed() -> None:
    """More are asked than can be worked off: the window settles where offers hardly wait, and is
    large enough to keep the others busy."""
    fleet = Fleet(rate=5_000)
    fleet.run(5)
    late = fleet.waits_s[len(fleet.waits_s) // 2 :]
    assert sum(late) / len(late) < 0.05
    assert len(late) > 0.9 * 5_000 * 2.5


def test_window_grows_while_answers_are_in_time() -> None:
    """Agents far away need a larger one for the same rate."""
    fleet = Fleet(rate=1e9, rtt_s=0.15)
    fleet.run(5)
    assert fleet.window.size == MOST


def test_window_of_few_offers_stays() -> None:
    """It is never full, so nothing tells that more could run."""
    window, agent = Window(), Quickest()
    for number in range(1_000):
        now = number * 0.1
        assert window.open()
        window.offered(JobId(str(number)), DEN, now)
        window.answered(JobId(str(number)), agent, now + RTT_S)
    assert window.size == FIRST


def test_first_answers_that_are_late_shrink_it() -> None:
    """No agent has answered before, so that what it needs is not known: thousands of agents that
    get their first jobs at once."""
    window = Window()
    for number in range(FIRST):
        window.offered(JobId(str(number)), DEN, 0.0)
    assert not window.open()
    for number in range(FIRST):
        window.answered(JobId(str(number)), Quickest(), 3 * ASSUMED_S + number / 1_000)
    assert window.size < FIRST


def test_offers_without_an_answer_neither_block_nor_pass_as_in_time() -> None:
    """Their agents may be gone, or swamped."""
    window = Window()
    for number in range(FIRST):
        window.offered(JobId(str(number)), DEN, 0.0)
    assert list(window.forget(UNANSWERED_S / 2)) == []
    assert not window.open()
    assert window.forgets_at() == UNANSWERED_S
    assert list(window.forget(UNANSWERED_S)) == [DEN] * FIRST
    assert window.open()
    assert window.size < FIRST


def test_window_keeps_its_least() -> None:
    """However long nobody answers."""
    window = Window()
    for number in range(20_000):
        now = number * 0.001
        list(window.forget(now))
        if window.open():
            window.offered(JobId(str(number)), DEN, now)
        else:
            window.held_back(now)
    assert window.size == LEAST


def test_answer_to_an_offer_that_no_longer_counts_is_ignored() -> None:
    window = Window()
    window.offered(JobId("a"), DEN, 0.0)
    assert list(window.forget(UNANSWERED_S)) == [DEN]
    window.answered(JobId("a"), Quickest(), 2.0)
    assert window.unanswered == 0
    assert window.forgets_at() == math.inf


def test_colo_that_does_not_answer_leaves_the_window_to_others() -> None:
    """All its agents may be gone, or want to slow down others."""
    window = Window()
    offers = 0
    while window.open_for(DEN):
        window.offered(JobId(str(offers)), DEN, 0.0)
        offers += 1
    assert offers == FIRST * SHARE_OF_COLO
    assert window.open()
    assert window.open_for(SIN)
    window.answered(JobId("0"), Quickest(), 0.01)
    assert window.open_for(DEN)


def test_colo_alone_widens_the_window() -> None:
    """Its part is the limit then."""
    window, agent, now, number = Window(), Quickest(), 0.0, 0
    for _ in range(200):
        now += 0.05
        first = number
        while window.open_for(DEN):
            window.offered(JobId(str(number)), DEN, now)
            number += 1
        window.held_back(now)
        for each in range(first, number):
            window.answered(JobId(str(each)), agent, now + RTT_S)
    assert window.size == MOST


def test_offer_of_long_ago_does_not_stop_it() -> None:
    """It was left when nothing else was asked for an hour."""
    window, agent = Window(), Quickest()
    window.offered(JobId("old"), DEN, 0.0)
    now, number = 3_600.0, 0
    list(window.forget(now))
    for _ in range(100):
        now += 0.05
        first = number
        while window.open():
            window.offered(JobId(str(number)), DEN, now)
            number += 1
        window.held_back(now)
        for each in range(first, number):
            window.answered(JobId(str(each)), agent, now + RTT_S)
    assert window.size == MOST


def test_job_that_is_taken_back_is_no_late_answer() -> None:
    """Clients that leave do not slow down others."""
    window, now = Window(), 0.0
    for number in range(10_000):
        now += 0.001
        list(window.forget(now))
        assert window.open()
        window.offered(JobId(str(number)), DEN, now)
        window.withdrawn(JobId(str(number)), now + 0.0005)
    assert (window.size, window.unanswered) == (FIRST, 0)


def test_window_begins_anew_after_a_quiet_time() -> None:
    """It became small because of an agent that was late when nobody else was asked."""
    window, agent = Window(), Quickest()
    for number in range(1_000):
        now = float(number)
        window.offered(JobId(str(number)), DEN, now)
        window.answered(JobId(str(number)), agent, now + (0.3 if number else 0.001))
    assert window.size == LEAST
    now += RESTART_S + 1
    assert list(window.forget(now)) == []
    assert window.size == FIRST
