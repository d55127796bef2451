"""Work that can wait shares a slice of each turn of the loop."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from colotrace_coordinator.turns import SLICE_S, Turns
from eventually import until

STEPS = 40


def busy(
    done: list[str], name: str, steps: int = STEPS, step_s: float = SLICE_S / 4
) -> Iterator[None]:
    """Steps that take time, each of them noted when it is done."""
    for _ in range(steps):
        until = time.perf_counter() + step_s
        while time.perf_counter() < until:
            pass
        done.append(name)
        yield


def sharing() -> Turns:
    """As while large requests run."""
    turns = Turns()
    turns.share(large=True)
    return turns


async def longest_turn(until: "asyncio.Future[object]") -> float:
    """The CPU time of the longest turn of the loop until then."""
    longest = 0.0
    while not until.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    return longest


async def test_much_work_leaves_turns_to_others() -> None:
    """60 pieces of 10 ms each would otherwise take one turn of 600 ms."""
    turns, done = sharing(), list[str]()
    work = asyncio.gather(*(turns.run(busy(done, str(n))) for n in range(60)))
    assert await longest_turn(work) < 20 * SLICE_S
    assert len(done) == 60 * STEPS


async def test_little_work_is_done_at_once() -> None:
    """While the slice lasts, which a busy host may use up."""
    turns, done = Turns(clock=lambda: 0.0), list[str]()
    running = turns.run(busy(done, "a", steps=2, step_s=0.0))
    with pytest.raises(StopIteration):
        running.send(None)
    assert done == ["a", "a"]


async def test_work_is_served_in_turn() -> None:
    """A short piece does not wait for the end of a long one that was there before."""
    turns, done = sharing(), list[str]()
    long, short = (
        turns.soon(busy(done, name, steps)) for name, steps in (("long", 80), ("short", 1))
    )
    await short
    assert not long.done()
    assert done.count("long") < 20
    await long


async def test_caller_that_pauses_shares_too() -> None:
    """Its own work counts as much as what is handed over."""
    turns, done = sharing(), list[str]()

    async def own() -> None:
        for _ in busy(done, "own"):
            await turns.pause()

    work = asyncio.gather(own(), turns.run(busy(done, "given")))
    assert await longest_turn(work) < 20 * SLICE_S
    first = done[: STEPS // 2]
    assert {"own", "given"} <= set(first)


async def test_small_requests_alone_have_longer_slices() -> None:
    """The same work takes fewer turns of the loop."""
    passes = []
    for large in (True, False):
        turns, done = Turns(), list[str]()
        turns.share(large=large)
        work = turns.soon(busy(done, "a", steps=80))
        count = 0
        while not work.done():
            await asyncio.sleep(0)
            count += 1
        passes.append(count)
    assert passes[1] < passes[0]


async def test_pause_of_the_only_caller_costs_no_turn() -> None:
    turns = Turns(clock=lambda: 0.0)
    pause = turns.pause()
    with pytest.raises(StopIteration):
        pause.send(None)


async def test_fault_of_a_piece_of_work_is_its_own() -> None:
    """Others go on, and it is raised where the work was asked for."""
    turns, done = sharing(), list[str]()

    def broken() -> Iterator[None]:
        yield from busy(done, "broken", 8)
        raise ValueError("no more")

    other = turns.soon(busy(done, "other"))
    with pytest.raises(ValueError, match="no more"):
        await turns.run(broken())
    await other
    assert done.count("other") == STEPS


async def test_work_of_a_cancelled_caller_ends() -> None:
    turns, done = sharing(), list[str]()
    first = turns.soon(busy(done, "first"))
    caller = asyncio.create_task(turns.run(busy(done, "cancelled")), name="caller")
    await asyncio.sleep(0)
    caller.cancel()
    await first
    assert done.count("cancelled") < STEPS
    assert len(turns) == 0


async def test_fault_of_one_item_does_not_cost_the_others_their_turn() -> None:
    """It is told once, by the loop's handler of exceptions."""
    turns, done = sharing(), list[int]()
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def act(item: int) -> None:
        if item == 1:
            raise ValueError("no more")
        done.append(item)

    turns.each((0, 1, 2), act)
    await until(lambda: done == [0, 2])
    assert [str(each["exception"]) for each in told] == ["no more"]
