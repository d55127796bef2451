"""Questions that block, asked in threads: bounded in every respect."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from colotrace_agent.host.lookups import LookupQueueFullError, Lookups, Pace
from eventually import until

LONG_S = 30.0


class Gate:
    """A function that blocks on keys that begin with "slow" until it is opened."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.opened = threading.Event()
        self.most = self.now = 0
        self._lock = threading.Lock()

    def __call__(self, key: str) -> str:
        with self._lock:
            self.asked.append(key)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            if key.startswith("slow"):
                assert self.opened.wait(LONG_S)
            if key.startswith("bad"):
                raise OSError(key)
            return key.upper()
        finally:
            with self._lock:
                self.now -= 1


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


async def test_answers_and_exceptions_come_back(gate: Gate) -> None:
    lookups = Lookups(gate, threads=2, name="test")
    assert await lookups.ask("a", within_s=LONG_S) == "A"
    with pytest.raises(OSError, match="bad"):
        await lookups.ask("bad", within_s=LONG_S)
    lookups.close()


async def test_a_late_answer_costs_its_caller_the_time_and_nobody_else_anything(gate: Gate) -> None:
    """The event loop goes on, and others are answered meanwhile."""
    lookups = Lookups(gate, threads=2, name="test")
    with pytest.raises(TimeoutError):
        await lookups.ask("slow", within_s=0.01)
    assert await lookups.ask("b", within_s=LONG_S) == "B"
    lookups.close()


async def test_as_many_threads_as_allowed_and_no_more(gate: Gate) -> None:
    """Whatever is stuck; the rest waits for its time to run out."""
    lookups = Lookups(gate, threads=3, name="bounded")
    stuck = [asyncio.create_task(lookups.ask(f"slow{i}", within_s=LONG_S)) for i in range(3)]
    await until(lambda: gate.now == 3, within_s=LONG_S)
    with pytest.raises(TimeoutError):
        await lookups.ask("b", within_s=0.01)
    assert sum(thread.name == "bounded" for thread in threading.enumerate()) == 3
    gate.opened.set()
    assert await asyncio.gather(*stuck) == ["SLOW0", "SLOW1", "SLOW2"]
    assert await lookups.ask("c", within_s=LONG_S) == "C"
    assert gate.most == 3
    lookups.close()


async def test_the_same_question_is_asked_once(gate: Gate) -> None:
    """Also for one who comes while the first has given up."""
    lookups = Lookups(gate, threads=4, name="test")
    with pytest.raises(TimeoutError):
        await lookups.ask("slow", within_s=0.01)
    tasks = [asyncio.create_task(lookups.ask("slow", within_s=LONG_S)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.opened.set()
    assert await asyncio.gather(*tasks) == ["SLOW"] * 3
    assert gate.asked == ["slow"]
    lookups.close()


async def test_a_question_that_nobody_waits_for_any_more_is_not_asked(gate: Gate) -> None:
    """Names of jobs that were cancelled hold up nobody."""
    lookups = Lookups(gate, threads=1, name="test")
    first = asyncio.create_task(lookups.ask("slow", within_s=LONG_S))
    await until(lambda: gate.now == 1, within_s=LONG_S)
    cancelled = asyncio.create_task(lookups.ask("cancelled", within_s=LONG_S))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(TimeoutError):
        await lookups.ask("late", within_s=0.01)
    gate.opened.set()
    assert await lookups.ask("b", within_s=LONG_S) == "B"
    assert await first == "SLOW"
    assert gate.asked == ["slow", "b"]
    lookups.close()


async def test_waiting_questions_are_bounded(gate: Gate) -> None:
    """Those that nobody waits for make room first."""
    lookups = Lookups(gate, threads=1, name="test", most_waiting=2)
    tasks = [asyncio.create_task(lookups.ask("slow", within_s=LONG_S))]
    await until(lambda: gate.now == 1, within_s=LONG_S)
    tasks += [asyncio.create_task(lookups.ask(key, within_s=LONG_S)) for key in ("b", "c")]
    await asyncio.sleep(0)
    with pytest.raises(LookupQueueFullError):
        await lookups.ask("d", within_s=LONG_S)
    tasks.pop().cancel()
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(lookups.ask("e", within_s=LONG_S)))
    await asyncio.sleep(0)
    gate.opened.set()
    assert await asyncio.gather(*tasks) == ["SLOW", "B", "E"]
    lookups.close()


async def test_no_thread_to_be_had(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that allows no further process says so; the next question may be luckier."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups(gate, threads=2, name="test")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(LookupQueueFullError, match="thread"):
            await lookups.ask("a", within_s=LONG_S)
    assert await lookups.ask("a", within_s=LONG_S) == "A"
    lookups.close()


def test_questions_begin_at_the_rate() -> None:
    """A second's worth at once, and the others one after the other."""
    pace = Pace(8)
    assert [pace.pause_s(1_000.0) for _ in range(11)] == [0.0] * 8 + [0.125, 0.25, 0.375]
    assert pace.pause_s(1_000.5) == 0.0
    assert pace.pause_s(1_000.5) == 0.125
    assert Pace(None).pause_s(0.0) == 0.0


async def test_idle_threads_end(gate: Gate) -> None:
    """After a while, and at once when it is closed."""
    lookups = Lookups(gate, threads=2, name="idle", idle_s=0.01)
    await lookups.ask("a", within_s=LONG_S)
    await until(lambda: all(thread.name != "idle" for thread in threading.enumerate()))
    assert await lookups.ask("b", within_s=LONG_S) == "B"
    lookups.close()
    lookups = Lookups(gate, threads=2, name="idle", idle_s=LONG_S)
    await lookups.ask("c", within_s=LONG_S)
    lookups.close()
    await until(lambda: all(thread.name != "idle" for thread in threading.enumerate()))
