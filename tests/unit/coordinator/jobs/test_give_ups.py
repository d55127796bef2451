"""Jobs that have not started are given up at their time, a few in each turn of the loop."""

import asyncio
from typing import Any, cast

from colotrace_coordinator.jobs.give_ups import PRECISION_S, GiveUps
from colotrace_coordinator.jobs.running import LiveJob
from colotrace_coordinator.turns import Turns
from eventually import until

SOON_S = 2 * PRECISION_S


class GivenUp:
    """Jobs, here any objects, and those that were given up so far."""

    def __init__(self) -> None:
        self.jobs: list[object] = []
        self.give_ups = GiveUps(Turns(), self.jobs.append)

    def after(self, seconds: float, job: Any = None) -> LiveJob:
        """A job, by default a new one, that is given up after so long."""
        job = cast("LiveJob", object()) if job is None else job
        self.give_ups.after(seconds, job)
        return cast("LiveJob", job)


async def test_jobs_are_given_up_at_their_times() -> None:
    given_up = GivenUp()
    later, soon = given_up.after(3 * SOON_S), given_up.after(SOON_S)
    await until(lambda: given_up.jobs == [soon])
    await until(lambda: given_up.jobs == [soon, later])


async def test_job_that_starts_is_not_given_up() -> None:
    """Also if it starts while those of the same time are given up."""
    given_up = GivenUp()
    started = given_up.after(SOON_S)
    others = [given_up.after(SOON_S) for _ in range(3)]
    given_up.give_ups.forget(started)
    await until(lambda: given_up.jobs == others)


async def test_job_that_is_put_off_has_its_new_time() -> None:
    """Not the one that it had before."""
    given_up = GivenUp()
    job, other = given_up.after(SOON_S), given_up.after(2 * SOON_S)
    given_up.after(4 * SOON_S, job)
    await until(lambda: given_up.jobs == [other])
    await until(lambda: given_up.jobs == [other, job])


async def test_many_jobs_are_given_up_in_several_turns() -> None:
    """Each has a caller to be told."""
    seen: list[int] = []
    jobs: list[object] = []

    def slowly(job: LiveJob) -> None:
        jobs.append(job)
        total = sum(range(20_000))
        assert total

    give_ups = GiveUps(Turns(), slowly)
    for _ in range(100):
        give_ups.after(SOON_S, cast("LiveJob", object()))
    while len(jobs) < 100:
        await asyncio.sleep(0)
        seen.append(len(jobs))
    assert len(set(seen)) > 4
