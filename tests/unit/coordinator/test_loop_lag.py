"""The sampled lag of the event loop."""

import asyncio
import time

from colotrace_coordinator.loop_lag import sample
from colotrace_coordinator.metrics import Metrics
from eventually import until
from prometheus_client import CollectorRegistry

LAG = "colotrace_loop_lag_seconds"


async def test_callback_that_blocks_shows_as_lag() -> None:
    """A hold-up that is longer than the interval is seen, whenever it begins."""
    numbers = CollectorRegistry()
    sampling = asyncio.create_task(sample(Metrics(numbers).loop_lag, every_s=0.001))
    await until(lambda: (numbers.get_sample_value(f"{LAG}_count") or 0) > 3)
    before = numbers.get_sample_value(f"{LAG}_sum") or 0.0
    seen = numbers.get_sample_value(f"{LAG}_count") or 0
    time.sleep(0.15)  # noqa: ASYNC251 - it blocks the loop
    await until(lambda: (numbers.get_sample_value(f"{LAG}_count") or 0) > seen)
    assert (numbers.get_sample_value(f"{LAG}_sum") or 0.0) - before >= 0.14
    sampling.cancel()
