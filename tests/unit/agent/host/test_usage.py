"""What the agent's process uses, as it tells."""

from pathlib import Path

from colotrace_agent.host.usage import ProcessUsage
from colotrace_proto.messages import MAX_CPU_MILLIS, Usage
from manual_clock import ManualClock


class Bed:
    """A process with clocks that the test turns."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.cpu = ManualClock(100.0), ManualClock(2.0)
        self.statm = directory / "statm"
        self.statm.write_text("5000 1000 300 1 0 900 0\n")
        self.usage = ProcessUsage(clock=self.clock, cpu=self.cpu, statm=self.statm)

    def passed(self, seconds: float, *, used_s: float) -> Usage | None:
        self.clock.now += seconds
        self.cpu.now += used_s
        return self.usage()


def test_cpu_is_averaged_since_the_previous_measurement(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    assert bed.usage() is None
    first = bed.passed(10, used_s=1)
    assert first is not None
    assert first.cpu_millis == 100
    assert first.memory_bytes % 1_000 == 0
    later = bed.passed(20, used_s=30)
    assert later is not None
    assert later.cpu_millis == 1_500


def test_frequent_heartbeats_tell_the_same_for_some_seconds(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    first = bed.passed(10, used_s=1)
    assert bed.passed(1, used_s=1) == first
    later = bed.passed(4, used_s=0)
    assert later is not None
    assert later.cpu_millis == 200


def test_host_without_proc_tells_nothing(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    bed.statm.unlink()
    assert bed.passed(10, used_s=1) is None


def test_clock_of_the_cpu_that_jumps_stays_within_bounds(tmp_path: Path) -> None:
    bed = Bed(tmp_path)
    fast = bed.passed(10, used_s=10**9)
    assert fast is not None
    assert fast.cpu_millis == MAX_CPU_MILLIS
    back = bed.passed(10, used_s=-5)
    assert back is not None
    assert back.cpu_millis == 0


def test_own_process_is_measured() -> None:
    usage = ProcessUsage(clock=iter([0.0, 10.0]).__next__)()
    assert usage is not None
    assert usage.memory_bytes > 1_000_000
