"""Owners of jobs share an agent's packets: a backlog of one hardly delays another's job."""

from collections.abc import Sequence

import pytest
from colotrace_agent.engine.limits.budget import DEFAULT_RATE
from colotrace_agent.model import TraceSpec
from colotrace_proto.messages import Owner

from scenario.addresses import packed
from scenario.load import parse
from scenario.schema import Family
from scenario.virtual import Job, VirtualHost
from scenario.world import World

MS = 1_000_000
SECOND = 1_000 * MS
ONE, OTHER = Owner(account=1, caller=1), Owner(account=2, caller=2)
CASE = """
shows = "A target that does not answer, so that every probe is sent."
hops = [{{ rtt_ms = 1 }}, {{ rtt_ms = 10 }}, {{ blackhole = true, silent = true }}]
[trace]
max_ttl = 4
[target]
address4 = "203.0.113.{number}"
address6 = "2001:db8:ffff::{number:x}"
[expect]
reached = false
hops = ["1", "2", "-", "-"]
"""


class Backlogs:
    """A host that several owners give jobs, each to a target of its own."""

    def __init__(self, *, family: Family = 4) -> None:
        cases = [parse(CASE.format(number=n), name=f"silent {n}") for n in range(1, 251)]
        worlds = [World(case, family=family) for case in cases]
        self.host = VirtualHost(worlds)
        self._targets = iter([packed(world.addresses.target) for world in worlds])

    def heavy(self, count: int, owner: Owner | None) -> list[Job]:
        """Jobs of 640 probes each."""
        return [self.start(64, 10, owner) for _ in range(count)]

    def small(self, owner: Owner | None) -> Job:
        """A job of 45 probes."""
        return self.start(15, 3, owner)

    def run(self, for_ns: int) -> None:
        self.host.run(until=self.host.now + for_ns)

    def start(
        self, max_ttl: int, packets_per_ttl: int, owner: Owner | None, *, target: bytes = b""
    ) -> Job:
        target = target or next(self._targets)
        spec = TraceSpec(target, max_ttl=max_ttl, packets_per_ttl=packets_per_ttl)
        return self.host.start(spec, owner=owner)

    def target(self) -> bytes:
        """One that no other job has."""
        return next(self._targets)


def sent_by(jobs: Sequence[Job], *, since: int = 0) -> int:
    """Probes that the jobs have sent since then."""
    return sum(at >= since for job in jobs for at in job.sent_at)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("other", [OTHER, Owner(ONE.account, OTHER.caller)])
def test_backlog_of_one_owner_hardly_delays_another(family: Family, other: Owner) -> None:
    """200 jobs of one caller have 128,000 probes to send, for 25 s. A job of another caller, of
    the same account or not, sends its probes at once."""
    backlogs = Backlogs(family=family)
    backlogs.heavy(200, ONE)
    backlogs.run(SECOND)
    since = backlogs.host.now
    small = backlogs.small(other)
    backlogs.run(100 * MS)
    assert len(small.sent_at) == 45
    assert small.sent_at[-1] - since < 50 * MS


def test_accounts_and_then_their_callers_have_equal_parts() -> None:
    """However many jobs each has."""
    backlogs = Backlogs()
    many = backlogs.heavy(12, ONE)
    few = backlogs.heavy(4, Owner(ONE.account, 3))
    single = backlogs.heavy(7, OTHER)
    backlogs.run(1_500 * MS)
    total = sent_by(many + few + single)
    assert sent_by(single) == pytest.approx(total / 2, rel=0.05)
    assert sent_by(many) == pytest.approx(total / 4, rel=0.05)
    assert sent_by(few) == pytest.approx(total / 4, rel=0.05)


def test_first_hops_are_shared_equally() -> None:
    """Jobs of three TTLs need the budget of the first hops only, which is the smaller one."""
    backlogs = Backlogs()
    many = [backlogs.start(3, 10, ONE) for _ in range(100)]
    few = [backlogs.start(3, 10, OTHER) for _ in range(25)]
    backlogs.run(SECOND)
    assert sent_by(few) == pytest.approx(sent_by(many), rel=0.05)


def test_probes_to_the_first_hops_count_for_the_owners_part() -> None:
    """Ten owners have a tenth each: also the one that sends to the first hops only, though their
    budget would allow it twice as much."""
    backlogs = Backlogs()
    for number in range(2, 11):
        backlogs.heavy(2, Owner(number, number))
    near = [backlogs.start(3, 10, ONE) for _ in range(100)]
    backlogs.run(700 * MS)
    since = backlogs.host.now
    backlogs.run(SECOND)
    assert sent_by(near, since=since) == pytest.approx(DEFAULT_RATE / 10, rel=0.1)


def test_new_jobs_do_not_pass_those_that_wait_for_the_first_hops() -> None:
    """One owner has three times as many probes to the first hops as may leave, all of new jobs. The
    other one sends to distant hops, and so has sent more."""
    backlogs = Backlogs()
    backlogs.heavy(12, OTHER)
    new_to = backlogs.target()
    waiting: list[Job] = []
    for turn in range(700):
        backlogs.start(3, 1, ONE, target=new_to)
        if turn == 500:
            waiting = [backlogs.start(3, 10, OTHER)]
        backlogs.run(MS)
    assert sent_by(waiting) == 30


def test_packets_to_one_target_are_shared_equally() -> None:
    """They have a budget of their own, for which both owners' jobs wait."""
    backlogs = Backlogs()
    target = backlogs.target()
    many = [backlogs.start(64, 10, ONE, target=target) for _ in range(12)]
    few = [backlogs.start(64, 10, OTHER, target=target) for _ in range(3)]
    backlogs.run(2 * SECOND)
    assert sent_by(few) == pytest.approx(sent_by(many), rel=0.1)


def test_owners_leave_nothing_of_the_budget_unused() -> None:
    """What an owner does not want, the others get."""
    backlogs = Backlogs()
    jobs = [*backlogs.heavy(16, ONE), *backlogs.heavy(2, OTHER)]
    backlogs.run(SECOND)
    since = backlogs.host.now
    backlogs.run(SECOND)
    assert sent_by(jobs, since=since) == pytest.approx(DEFAULT_RATE, rel=0.01)


def test_owner_without_jobs_saves_nothing_up() -> None:
    """One that has more to send after a while has an equal part again, and no more."""
    backlogs = Backlogs()
    backlogs.small(OTHER)
    busy = backlogs.heavy(16, ONE)
    backlogs.run(900 * MS)
    since = backlogs.host.now
    back = backlogs.heavy(6, OTHER)
    backlogs.run(SECOND)
    total = sent_by(busy + back, since=since)
    assert sent_by(back, since=since) == pytest.approx(total / 2, rel=0.05)


def test_jobs_without_an_owner_are_one_owners() -> None:
    """Coordinators of release 0.2 do not tell whose a job is."""
    backlogs = Backlogs()
    unknown = backlogs.heavy(12, None)
    known = backlogs.heavy(6, ONE)
    backlogs.run(SECOND)
    assert sent_by(known) == pytest.approx(sent_by(unknown), rel=0.05)
