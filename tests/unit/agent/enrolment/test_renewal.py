"""When certificates are renewed, in virtual time."""

import asyncio
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from colotrace_agent.enrolment import renewal
from colotrace_agent.enrolment.client import EnrolmentError
from colotrace_agent.enrolment.renewal import FIRST_PAUSE_S, LAST_PAUSE_S, Renewal
from colotrace_agent.enrolment.state import Options, StateDirectory, settings_of
from colotrace_proto.enrolment import Certified
from eventually import until
from manual_clock import ManualClock

WEEK_S = 7 * 86_400.0


class Coordinator:
    """Renews, or fails as often as told."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked_at: list[float] = []
        self.keys: list[bytes] = []
        self.answers = threading.Event()
        self.answers.set()
        self.failures = 0
        self.clock_off_s = 0.0
        self.life_s = WEEK_S

    def certified(self) -> Certified:
        return Certified(
            colo="den01",
            city="Denver",
            agent_id="a1",
            certificate="C",
            coordinator="a.example:8081",
            ends_at=self.clock.now + self.life_s,
        )

    def renew(self, *, key: bytes, **_: object) -> Certified:
        self.asked_at.append(self.clock.now)
        self.keys.append(key)
        self.answers.wait(5)
        if self.failures:
            self.failures -= 1
            raise EnrolmentError("the coordinator cannot be reached")
        return self.certified()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000.0)


@pytest.fixture
def coordinator(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    coordinator = Coordinator(clock)
    monkeypatch.setattr(renewal, "Enroller", lambda *_, **__: coordinator)

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        await real_sleep(0)

    real_sleep = asyncio.sleep
    monkeypatch.setattr(renewal.asyncio, "sleep", sleep)
    return coordinator


@pytest.fixture
def state(tmp_path: Path, coordinator: Coordinator, clock: ManualClock) -> StateDirectory:
    state = StateDirectory(tmp_path)
    state.keep_authority(b"A")
    certified = coordinator.certified()
    settings = settings_of(certified, join="a.example:8082", now=clock.now, options=Options())
    state.keep(certified, b"K", settings=settings)
    return state


async def renewed(
    state: StateDirectory, coordinator: Coordinator, clock: ManualClock, times: int
) -> list[float]:
    """When the first requests were sent, in seconds from the start."""
    began = clock.now
    running = asyncio.create_task(Renewal(state, clock=clock).run())
    while len(coordinator.asked_at) < times:
        await asyncio.wait([running], timeout=0.001)
        assert not running.done()
    running.cancel()
    return [at - began for at in coordinator.asked_at[:times]]


async def test_at_about_half_of_the_certificates_life(
    state: StateDirectory, coordinator: Coordinator, clock: ManualClock
) -> None:
    first, second = await renewed(state, coordinator, clock, 2)
    assert 0.4 * WEEK_S <= first <= 0.6 * WEEK_S
    assert 0.4 * WEEK_S <= second - first <= 0.6 * WEEK_S


async def test_failures_are_tried_again_with_growing_pauses(
    state: StateDirectory, coordinator: Coordinator, clock: ManualClock
) -> None:
    coordinator.failures = 12
    asked = await renewed(state, coordinator, clock, 13)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    expected = [min(FIRST_PAUSE_S * 2**number, LAST_PAUSE_S) for number in range(12)]
    assert pauses == pytest.approx(expected)


async def test_host_that_was_off_renews_at_once(
    state: StateDirectory, coordinator: Coordinator, clock: ManualClock
) -> None:
    clock.now += 2 * WEEK_S
    assert await renewed(state, coordinator, clock, 1) == [0]


async def test_clock_far_ahead_causes_no_flood_of_renewals(
    state: StateDirectory, coordinator: Coordinator, clock: ManualClock
) -> None:
    """Each new certificate has ended by this host's clock."""
    clock.now += 2 * WEEK_S
    coordinator.life_s = -WEEK_S
    assert await renewed(state, coordinator, clock, 3) == [0, LAST_PAUSE_S, 2 * LAST_PAUSE_S]


async def test_agent_works_on_if_its_state_is_damaged(
    state: StateDirectory, coordinator: Coordinator, clock: ManualClock
) -> None:
    running = asyncio.create_task(Renewal(state, clock=clock).run())
    await asyncio.sleep(0)  # it waits until the certificate is due
    (state.path / "settings.json").unlink()
    await until(lambda: clock.now > 1_000_000 + WEEK_S / 2)
    assert not running.done()
    running.cancel()
    assert coordinator.asked_at == []


async def test_same_key_is_asked_for_until_there_is_an_answer(
    state: StateDirectory, coordinator: Coordinator, clock: ManualClock
) -> None:
    """Otherwise a lost answer would look as if somebody had copied the key."""
    coordinator.failures = 2
    await renewed(state, coordinator, clock, 4)
    first, second, third, fourth = coordinator.keys[:4]
    assert first == second == third != fourth


def test_end_of_the_program_does_not_wait_for_an_answer(
    state: StateDirectory, coordinator: Coordinator, clock: ManualClock
) -> None:
    coordinator.answers.clear()
    clock.now += 2 * WEEK_S
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(Renewal(state, clock=clock).run(), 0.2))
    assert time.monotonic() - began < 10
    coordinator.answers.set()
