"""Garbage collection when it is cheap, instead of in the middle of a large request.

Python frees an object when nothing refers to it any more. Only objects in reference cycles have to
be found by a collection, which walks all objects of a generation. A request with 15,000 rows has
hundreds of thousands of them, and automatic collections stopped the event loop for up to 400 ms.
A coordinator makes few cycles, so they can wait: automatic collections are off, and `Collector`
collects while few rows are measured, and before there are so many young objects that it takes more
than a few milliseconds.
"""

import asyncio
import gc
from collections.abc import Callable

LOOK_S = 0.1
EVERY_S, EVERY_OBJECTS = 1.0, 5_000
"""The youngest generation is collected after this time, or when it has so many objects: agents that
attach make tens of thousands a second."""
MIDDLE_EVERY = 4
"""Every so many collections include the next generation."""
FEW_ROWS = 500
"""A collection is cheap while no more rows are measured, and have been for `CALM_S`."""
CALM_S = 2.0
"""Time in which the last large answer is sent."""
LONGEST_S = 300.0
"""If the coordinator is never calm, it collects after this long nevertheless."""
FULL_EVERY_S, FULL_LONGEST_S = 600.0, 7_200.0
"""A full collection takes 0.1 s or more with thousands of agents. It waits for a time without any
row, up to the second interval."""


class Collector:
    """Decides when to collect which generation."""

    def __init__(self, *, now: float, collect: Callable[[int], int] = gc.collect) -> None:
        self._collect = collect
        self._busy_at = self._collected_at = self._full_at = now
        self._turns = 0

    def turn(self, now: float, *, rows: int, young: int) -> None:
        """Collect what is due. `rows` are those of all requests that run; `young` objects are in
        the youngest generation."""
        if rows > FEW_ROWS:
            self._busy_at = now
        calm = now - self._busy_at >= CALM_S
        full_for_s = now - self._full_at
        if full_for_s >= (FULL_EVERY_S if calm and not rows else FULL_LONGEST_S):
            self._collect(2)
            self._collected_at = self._full_at = now
        elif now - self._collected_at >= LONGEST_S or (
            calm and (young >= EVERY_OBJECTS or now - self._collected_at >= EVERY_S)
        ):
            self._turns += 1
            self._collect(0 if self._turns % MIDDLE_EVERY else 1)
            self._collected_at = now


async def run(*, rows: Callable[[], int]) -> None:
    """Collect until cancelled. What exists now stays for good, and is not walked again."""
    loop = asyncio.get_running_loop()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        collector = Collector(now=loop.time())
        while True:
            await asyncio.sleep(LOOK_S)
            collector.turn(loop.time(), rows=rows(), young=gc.get_count()[0])
    finally:
        gc.enable()
        gc.unfreeze()
