"""The times of measurements, though the wall clock is set."""

import pytest
from colotrace_coordinator.answer import Answers
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.measurements.ids import began_ms
from colotrace_coordinator.measurements.registry import Measurements
from colotrace_coordinator.model import TraceRequest
from colotrace_coordinator.turns import Turns
from colotrace_proto.measured import Options, Status
from colotrace_proto.messages import ColoName
from colotrace_proto.tally import NOTHING_KNOWN
from unit.coordinator.volatile import VolatileMemory

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
REQUEST = TraceRequest("a1", ("192.0.2.1",), (ColoName("den01"),), Options())
ORIGIN = Origin("a1", "t1", 1)


class Clocks:
    """Both are set by a test."""

    def __init__(self) -> None:
        self.wall_ms = NOW_MS
        self.now = 50.0
        turns = Turns()
        self.measurements = Measurements(
            Answers(registry=Registry(VolatileMemory()), names=None, asns=None, turns=turns),
            coordinator="a" * 32,
            turns=turns,
            now_ms=lambda: self.wall_ms,
            clock=lambda: self.now,
        )


@pytest.fixture
async def clocks() -> Clocks:
    return Clocks()


@pytest.mark.parametrize("step_ms", [-HOUR_MS, 0, HOUR_MS], ids=["back", "none", "ahead"])
async def test_duration_is_right_though_the_wall_clock_is_set(clocks: Clocks, step_ms: int) -> None:
    run = clocks.measurements.open(REQUEST, ORIGIN)
    clocks.wall_ms += step_ms
    clocks.now += 2.5
    clocks.measurements.close(run, Status.COMPLETE, NOTHING_KNOWN)
    assert (run.summary.began_ms, run.summary.ended_ms) == (NOW_MS, NOW_MS + 2_500)


async def test_measurement_begins_at_the_time_of_its_id(clocks: Clocks) -> None:
    """A filter by time finds it by its id, which goes on although the clock was set back."""
    first = clocks.measurements.open(REQUEST, ORIGIN).summary
    clocks.wall_ms -= HOUR_MS
    second = clocks.measurements.open(REQUEST, ORIGIN).summary
    assert second.id > first.id
    for each in (first, second):
        assert each.began_ms == began_ms(each.id)
