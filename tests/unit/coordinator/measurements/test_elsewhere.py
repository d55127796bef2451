"""Measurements of another coordinator, while the database does not have them yet."""

import asyncio

import pytest
from colotrace_coordinator.live.feed import Feed
from colotrace_coordinator.measurements.elsewhere import MAY_RUN_S, Elsewhere
from colotrace_coordinator.measurements.ids import Ids, began_ms
from colotrace_proto.measured import Options, Status, Summary
from colotrace_proto.messages import ColoName
from msgspec.structs import replace

NOW_MS = 1_764_000_000_000
ID = Ids(lambda: NOW_MS).new()
RUNNING = Summary(
    id=ID,
    account_id="acc",
    caller="",
    coordinator="a" * 32,
    status=Status.RUNNING,
    began_ms=NOW_MS,
    ended_ms=None,
    targets=("192.0.2.1",),
    colos=(ColoName("den01"),),
    options=Options(),
)
ENDED = replace(RUNNING, status=Status.CANCELLED)


class Kept:
    """A database that finds what is given, one after the other."""

    def __init__(self, *found: Summary | None) -> None:
        self.found = list(found)
        self.asked = 0

    async def find(self, account_id: str, measurement_id: str) -> Summary | None:
        assert (account_id, measurement_id) == ("acc", ID)
        self.asked += 1
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


class Others:
    """The other coordinators; `feed` is None if none runs the measurement."""

    def __init__(self, feed: Feed | None) -> None:
        self.feed = feed
        self.asked: list[tuple[str, int]] = []

    async def follow(
        self, account_id: str, measurement_id: str, *, position: int = 0
    ) -> Feed | None:
        assert (account_id, measurement_id) == ("acc", ID)
        self.asked.append(("follow", position))
        return self.feed

    async def cancel(self, account_id: str, measurement_id: str) -> bool:
        assert (account_id, measurement_id) == ("acc", ID)
        self.asked.append(("cancel", 0))
        return self.feed is not None


def elsewhere(
    kept: Kept, others: Others | None, *, age_s: float = 0, within_s: float = 1
) -> Elsewhere:
    return Elsewhere(
        kept,  # type: ignore[arg-type]
        others,
        now_ms=lambda: NOW_MS + round(age_s * 1e3),
        within_s=within_s,
    )


def test_id_tells_when_its_measurement_began() -> None:
    assert began_ms(ID) == NOW_MS


async def test_what_is_kept_is_found_without_a_question() -> None:
    for summary in (RUNNING, ENDED):
        others = Others(Feed())
        assert await elsewhere(Kept(summary), others).find("acc", ID) is summary
        assert others.asked == []


async def test_measurement_that_has_just_begun_elsewhere_is_waited_for() -> None:
    others = Others(Feed())
    assert await elsewhere(Kept(None, None, RUNNING), others).find("acc", ID) is RUNNING


async def test_measurement_that_is_never_written_is_not_found() -> None:
    """For example since the disk is full."""
    kept = Kept(None)
    assert await elsewhere(kept, Others(Feed()), within_s=0.05).find("acc", ID) is None


async def test_measurement_that_ended_during_the_question_is_found() -> None:
    assert await elsewhere(Kept(None, ENDED), Others(None)).find("acc", ID) is ENDED


async def test_nobody_is_asked_for_an_old_measurement() -> None:
    """Which was removed, or never was."""
    others = Others(Feed())
    where = elsewhere(Kept(None), others, age_s=MAY_RUN_S + 1)
    assert await where.find("acc", ID) is None
    assert await where.feed("acc", ID, position=0) is None
    assert not await where.cancel("acc", ID)
    assert others.asked == []


@pytest.mark.parametrize("kept", [None, RUNNING])
async def test_events_are_those_of_the_coordinator_that_runs_it(kept: Summary | None) -> None:
    """Also before the database has it."""
    others = Others(Feed())
    assert await elsewhere(Kept(kept), others).feed("acc", ID, position=7) is others.feed
    assert others.asked == [("follow", 7)]


async def test_measurement_that_has_ended_has_no_events_elsewhere() -> None:
    others = Others(Feed())
    assert await elsewhere(Kept(ENDED), others).feed("acc", ID, position=0) is None
    assert others.asked == []


@pytest.mark.parametrize("others", [None, Others(None)])
async def test_events_of_a_lost_coordinator_end_at_once(others: Others | None) -> None:
    """So that the client asks again, until it is known to be partial."""
    feed = await elsewhere(Kept(RUNNING), others).feed("acc", ID, position=0)
    assert feed is not None
    assert (feed.closed, feed.position) == (True, 0)


async def test_measurement_that_nobody_runs_or_keeps_has_no_events() -> None:
    assert await elsewhere(Kept(None), Others(None)).feed("acc", ID, position=0) is None
    assert await elsewhere(Kept(RUNNING, ENDED), Others(None)).feed("acc", ID, position=0) is None


async def test_cancelled_measurement_has_ended_in_the_database() -> None:
    kept = Kept(None, None, RUNNING, ENDED)
    assert await elsewhere(kept, Others(Feed())).cancel("acc", ID)
    assert kept.asked == 4


async def test_end_that_is_not_written_is_not_waited_for_forever() -> None:
    async with asyncio.timeout(20):
        assert await elsewhere(Kept(RUNNING), Others(Feed()), within_s=0.05).cancel("acc", ID)


async def test_what_nobody_runs_is_not_cancelled() -> None:
    for kept, others in ((RUNNING, None), (RUNNING, Others(None)), (ENDED, Others(Feed()))):
        assert not await elsewhere(Kept(kept), others).cancel("acc", ID)


async def test_nothing_is_kept() -> None:
    others = Others(Feed())
    where = Elsewhere(None, others, now_ms=lambda: NOW_MS, within_s=0.05)
    assert await where.find("acc", ID) is None
    assert await where.feed("acc", ID, position=0) is others.feed
    assert await where.cancel("acc", ID)
