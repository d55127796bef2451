"""Each limit, held by several coordinators together; in virtual time, without a broker."""

from collections import Counter

import pytest
from colotrace_coordinator.api.access.limiter import Limiter
from colotrace_coordinator.api.errors import RateLimitedError
from colotrace_coordinator.jobs.fair import FairQueue, Origin, Running
from colotrace_coordinator.jobs.starts import Starts, Wish
from colotrace_coordinator.jobs.target_rates import TargetLimits, TargetRates
from colotrace_coordinator.peers.peers import GONE_AFTER_S, REPORT_EVERY_S, Peers
from colotrace_proto.messages import ColoName
from manual_clock import ManualClock

DEN = ColoName("den01")


class Broker:
    """Passes reports on, every `REPORT_EVERY_S`."""

    def __init__(self, *members: Peers) -> None:
        self.members = list(members)
        for each in members:
            each.connected()

    def round(self, now: float) -> None:
        for report in [report for each in self.members for report in each.to_send(now)]:
            for each in self.members:
                each.heard(report, now)


def _limiters(clock: ManualClock, *, limit: int) -> tuple[Broker, list[Limiter]]:
    peers = [Peers(), Peers()]
    limiters = [
        Limiter(per_credential=limit, failures_per_address=1, clock=clock, peers=each)
        for each in peers
    ]
    broker = Broker(*peers)
    for _ in range(3):
        broker.round(clock.now)
    return broker, limiters


def _spend(limiter: Limiter, times: int) -> int:
    """How many of so many requests are accepted."""
    accepted = 0
    for _ in range(times):
        try:
            limiter.request("token")
        except RateLimitedError:
            continue
        accepted += 1
    return accepted


def test_quota_holds_for_requests_at_either_coordinator() -> None:
    clock = ManualClock()
    broker, (one, other) = _limiters(clock, limit=100)
    accepted = 0
    for _ in range(40):
        accepted += _spend(one, 2) + _spend(other, 2)
        clock.now += REPORT_EVERY_S
        broker.round(clock.now)
    # Beyond the limit by what the other accepts between two reports.
    assert 100 <= accepted <= 102


def test_remaining_requests_are_those_of_all_coordinators() -> None:
    clock = ManualClock()
    broker, (one, other) = _limiters(clock, limit=100)
    _spend(one, 30)
    broker.round(clock.now)
    clock.now += 10
    left = other.request("token")
    assert (left.remaining, left.reset_s) == (69, 290)


def test_windows_of_one_token_end_together() -> None:
    clock = ManualClock()
    broker, (one, other) = _limiters(clock, limit=10)
    assert _spend(one, 10) == 10
    clock.now += 5
    broker.round(clock.now)
    assert _spend(other, 1) == 0
    for _ in range(294):
        clock.now += 1
        broker.round(clock.now)
    assert _spend(one, 1) == _spend(other, 1) == 0
    clock.now += 1
    assert _spend(one, 1) == 1
    broker.round(clock.now)
    assert (other.request("token")).remaining == 8


def test_report_of_a_window_that_ends_does_not_shorten_the_next() -> None:
    clock = ManualClock()
    broker, (one, other) = _limiters(clock, limit=10)
    _spend(one, 1)
    broker.round(clock.now)
    clock.now += 299.9
    _spend(one, 5)  # its window ends in 0.1 s
    clock.now += 0.05
    reports = list(broker.members[0].to_send(clock.now))
    clock.now += 0.1
    other.request("token")  # begins the next window
    for report in reports:
        broker.members[1].heard(report, clock.now)
    left = other.request("token")
    assert (left.remaining, left.reset_s) == (8, 300)


def test_restarted_coordinator_knows_what_was_used_before() -> None:
    clock = ManualClock()
    broker, (one, _) = _limiters(clock, limit=100)
    _spend(one, 60)
    broker.round(clock.now)
    del broker.members[0]  # `one` stops; the other knows of its requests
    peers = Peers()
    again = Limiter(per_credential=100, failures_per_address=1, clock=clock, peers=peers)
    broker.members.append(peers)
    peers.connected()
    for _ in range(3):
        clock.now += REPORT_EVERY_S
        broker.round(clock.now)
    assert _spend(again, 100) == 40


def test_coordinator_without_others_counts_alone() -> None:
    clock = ManualClock()
    _, (one, other) = _limiters(clock, limit=10)
    assert (_spend(one, 20), _spend(other, 20)) == (10, 10)  # no report passes


def test_failures_are_counted_by_each_coordinator() -> None:
    clock = ManualClock()
    broker, (one, other) = _limiters(clock, limit=10)
    one.failure("192.0.2.1")
    broker.round(clock.now)
    other.failure("192.0.2.1")
    with pytest.raises(RateLimitedError):
        other.failure("192.0.2.1")


def _queues() -> tuple[Broker, list[Running[str]]]:
    peers = [Peers(), Peers()]
    running: list[Running[str]] = [Running(), Running()]
    for each, jobs in zip(peers, running, strict=True):
        each.share("jobs", jobs)
    broker = Broker(*peers)
    for _ in range(3):
        broker.round(0.0)
    return broker, running


def test_account_with_jobs_at_another_coordinator_waits_for_one_without() -> None:
    broker, (one, other) = _queues()
    for number in range(5):
        one.add(f"heavy {number}", Origin("heavy", "token", 0))
    broker.round(0.1)
    queue: FairQueue[str] = FairQueue(other)
    for number in range(6):
        for account in ("heavy", "light"):
            queue.push(f"{account} {number}", Origin(account, "token", 1 + (account == "light")))
    for _ in range(5):
        job = queue.pop(100)
        assert job is not None
        assert job.startswith("light")
        other.add(job, Origin("light", "token", 2))


def test_account_with_jobs_at_another_coordinator_does_not_wait_for_nobody() -> None:
    """However many it has there: room that no other account wants is not left empty."""
    broker, (one, other) = _queues()
    for number in range(10_000):
        one.add(f"heavy {number}", Origin("heavy", "token", 0))
    broker.round(0.1)
    queue: FairQueue[str] = FairQueue(other)
    queue.push("job", Origin("heavy", "token", 1))
    assert queue.pop(32) == "job"


def test_jobs_that_have_ended_at_another_coordinator_do_not_count() -> None:
    broker, (one, other) = _queues()
    one.add("job", Origin("heavy", "token", 0))
    broker.round(0.1)
    assert other.everywhere("heavy") == 1
    one.remove("job")
    broker.round(0.2)
    assert other.everywhere("heavy") == 0


def test_jobs_of_a_coordinator_that_is_gone_do_not_count() -> None:
    broker, (one, other) = _queues()
    for number in range(3):
        one.add(f"{number}", Origin("heavy", "token", 0))
    broker.round(0.1)
    del broker.members[0]
    broker.round(1.0 + GONE_AFTER_S)
    assert other.everywhere("heavy") == 0


def test_lost_report_of_jobs_is_made_good_by_the_next() -> None:
    broker, (one, other) = _queues()
    for number in range(3):
        one.add(f"{number}", Origin("heavy", "token", 0))
    list(broker.members[0].to_send(0.1))  # lost
    one.remove("0")
    broker.round(0.2)
    assert other.everywhere("heavy") == 2


def test_slots_of_a_colo_go_to_the_account_with_the_fewest_jobs_everywhere() -> None:
    """An account with many jobs at another coordinator waits in each colo for one without."""
    peers = [Peers(), Peers()]
    rates = TargetRates(TargetLimits(1e9, 1e9))
    one, other = (Starts[str](rates=rates, slots=lambda _: 4) for _ in peers)
    for each, starts in zip(peers, (one, other), strict=True):
        each.share("jobs", starts.counts)
    broker = Broker(*peers)
    for _ in range(3):
        broker.round(0.0)
    for number in range(30):
        colo = ColoName(f"sin{number:02}")
        one.push(f"{number}", Wish(Origin("heavy", "token", 0), colo, "192.0.2.1", 45))
        assert one.pop(0.0, 100) == f"{number}"
    broker.round(0.1)
    for number in range(8):
        for request, account in enumerate(("heavy", "light"), 1):
            origin = Origin(account, "token", request)
            other.push(f"{account} {number}", Wish(origin, DEN, "192.0.2.1", 45))
    started: list[str] = []
    running: list[str] = []
    while len(started) < 16:
        while (job := other.pop(0.1, 100)) is not None:
            started.append(job)
            running.append(job)
        ended = running.pop(0)
        other.remove(ended)
        other.colo_has_room(DEN)
    assert [job.partition(" ")[0] for job in started] == ["light"] * 8 + ["heavy"] * 8


def _flood(*, seconds: float, accounts: int) -> list[Counter[int]]:
    """Two coordinators with far more traces of one target than it may get. The packets that each
    started, in every second."""
    limits = TargetLimits(of_account=2_000, in_all=5_000)
    peers = [Peers(), Peers()]
    started: list[Counter[int]] = [Counter(), Counter()]
    queues: list[Starts[int]] = []
    for each in peers:
        rates = TargetRates(limits, coordinators=lambda each=each: each.coordinators)
        each.share("packets", rates)
        queues.append(Starts(rates=rates, slots=lambda _: 1_000_000))
    broker = Broker(*peers)
    for _ in range(3):
        broker.round(0.0)
    for number in range(2_000):
        for queue in queues:
            origin = Origin(f"account {number % accounts}", "token", number)
            queue.push(number, Wish(origin, DEN, "192.0.2.1", 90))
    now, step = 1.0, 0.01
    while now < 1.0 + seconds:
        for packets, queue in zip(started, queues, strict=True):
            while queue.pop(now, 100_000) is not None:
                packets[int(now)] += 90
        if round(now / step) % round(REPORT_EVERY_S / step) == 0:
            broker.round(now)
        now += step
    return started


@pytest.mark.parametrize(("accounts", "limit"), [(1, 2_000), (10, 5_000)])
def test_one_target_gets_its_rate_from_all_coordinators_together(accounts: int, limit: int) -> None:
    one, other = _flood(seconds=10, accounts=accounts)
    in_all = one + other
    # A second's worth at once after a pause, and a trace for each coordinator and account.
    most = limit + 2 * accounts * 90
    assert sum(in_all.values()) <= 10 * limit + limit + most - limit
    assert sum(in_all.values()) >= 0.9 * 10 * limit
    assert max(in_all.values()) <= 2 * limit + 2 * accounts * 90
    assert max(in_all[second] for second in range(3, 11)) <= 1.2 * limit
    assert 0.5 < sum(one.values()) / sum(other.values()) < 2


def test_packets_that_a_trace_did_not_need_are_given_back_everywhere() -> None:
    limits = TargetLimits(of_account=100, in_all=100)
    peers, rates = [Peers(), Peers()], [TargetRates(limits), TargetRates(limits)]
    for each, counts in zip(peers, rates, strict=True):
        each.share("packets", counts)
    broker = Broker(*peers)
    for _ in range(3):
        broker.round(0.0)
    one, other = rates
    one.spend("account", "192.0.2.1", 300, now=0.0)
    broker.round(0.0)
    assert other.open_at("account", "192.0.2.1", 0.0) == pytest.approx(2.0)
    one.spend("account", "192.0.2.1", -250, now=0.0)
    broker.round(0.1)
    assert other.open_at("account", "192.0.2.1", 0.1) == 0.1


def test_packets_that_nobody_was_told_of_in_time_are_not_reported_late() -> None:
    rates = TargetRates(TargetLimits(2_000, 5_000))
    rates.spend("account", "192.0.2.1", 90, now=0.0)
    assert list(rates.changes(60.0)) == []
    rates.spend("account", "192.0.2.1", 80, now=60.0)
    assert [count.number for count in rates.changes(60.1)] == [80]
