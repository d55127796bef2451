"""When garbage is collected: in calm times, and sooner or later in any case."""

import gc

import pytest
from colotrace_coordinator import garbage
from colotrace_coordinator.garbage import Collector


class World:
    """A collector, a turn each second, and the collections so far."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[tuple[float, int]] = []
        self.collector = Collector(now=0.0, collect=self._collect)

    def _collect(self, generation: int) -> int:
        self.done.append((self.now, generation))
        return 0

    def run(self, seconds: int, *, rows: int) -> list[tuple[float, int]]:
        """The collections of this time."""
        self.done.clear()
        for _ in range(seconds):
            self.now += 1.0
            self.collector.turn(self.now, rows=rows, young=100)
        return self.done


def test_young_objects_are_collected_while_few_rows_are_measured() -> None:
    world = World()
    done = world.run(60, rows=32)
    assert len(done) >= 58
    assert {generation for _, generation in done} == {0, 1}


def test_many_young_objects_are_collected_early() -> None:
    """A collection takes as long as they are many: 300 agents that attach at once made it 38 ms."""
    world = World()
    world.run(10, rows=0)
    world.done.clear()
    world.collector.turn(10.1, rows=0, young=garbage.EVERY_OBJECTS - 1)
    assert world.done == []
    world.collector.turn(10.2, rows=0, young=garbage.EVERY_OBJECTS)
    assert len(world.done) == 1


def test_nothing_is_collected_during_a_large_request_and_just_after_it() -> None:
    world = World()
    world.run(10, rows=0)
    assert world.run(25, rows=3_000) == []
    assert world.run(1, rows=0) == []
    assert [at for at, _ in world.run(1, rows=0)] == [37.0]


def test_large_requests_back_to_back_put_it_off_for_a_bounded_time() -> None:
    world = World()
    done = world.run(3_000, rows=3_000)
    assert len(done) == 3_000 // garbage.LONGEST_S


def test_full_collection_waits_for_a_time_without_requests() -> None:
    world = World()
    assert 2 not in {generation for _, generation in world.run(1_000, rows=32)}
    assert world.run(1, rows=0) == [(1_001.0, 2)]


def test_full_collection_comes_at_last_in_any_case() -> None:
    world = World()
    done = [at for at, generation in world.run(7_300, rows=32) if generation == 2]
    assert done == [garbage.FULL_LONGEST_S]


async def test_automatic_collections_are_off_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """And on again afterwards."""
    monkeypatch.setattr(garbage, "LOOK_S", 0.001)
    seen = []

    def rows() -> int:
        seen.append(gc.isenabled())
        raise KeyError

    with pytest.raises(KeyError):
        await garbage.run(rows=rows)
    assert seen == [False]
    assert gc.isenabled()
