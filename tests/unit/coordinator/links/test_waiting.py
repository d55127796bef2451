"""Streams that have not said Hello yet."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from colotrace_coordinator.links.direct.peer import address_of
from colotrace_coordinator.links.direct.waiting import Waiting
from eventually import until


class Streams:
    """Streams that say nothing, by name, and those that had to end."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self.ended: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def open(self, holder: str, name: str) -> None:
        began = asyncio.Event()

        async def wait() -> None:
            try:
                async with asyncio.timeout(60) as scope:
                    with self.waiting.enter(holder, scope):
                        began.set()
                        await asyncio.Event().wait()
            except TimeoutError:
                self.ended.append(name)

        self.tasks.append(asyncio.create_task(wait()))
        await began.wait()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@asynccontextmanager
async def streams(waiting: Waiting) -> AsyncIterator[Streams]:
    opened = Streams(waiting)
    try:
        yield opened
    finally:
        await opened.close()
    assert len(waiting) == 0


async def test_oldest_stream_of_the_holder_is_evicted() -> None:
    """A new one is always let in; another holder's are not touched."""
    async with streams(Waiting(most_of_one=2)) as opened:
        for holder, name in (("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3"), ("a", "a4")):
            await opened.open(holder, name)
        await until(lambda: len(opened.ended) >= 2)
        assert opened.ended == ["a1", "a2"]
        assert len(opened.waiting) == 3


async def test_holder_with_most_streams_is_evicted_from_beyond_the_total_bound() -> None:
    async with streams(Waiting(most=4, most_of_one=3)) as opened:
        for holder, name in (("b", "b1"), ("a", "a1"), ("a", "a2"), ("a", "a3"), ("c", "c1")):
            await opened.open(holder, name)
        await until(lambda: bool(opened.ended))
        assert opened.ended == ["a1"]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:80", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:80", "2001:db8::/64"),
        ("ipv6:[2001:db8::ffff:1]:80", "2001:db8::/64"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:80", "192.0.2.1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:80", "fe80::/64"),
        ("unix:/run/x", "unix:/run/x"),
    ],
)
def test_address_of_a_peer(peer: str, address: str) -> None:
    """One holder's: of IPv6 the /64."""
    assert address_of(peer) == address


async def test_stream_that_has_just_timed_out_is_not_evicted_again() -> None:
    """It ends by itself, and the new one is let in."""
    waiting = Waiting(most_of_one=1)
    with pytest.raises(TimeoutError):  # noqa: PT012 - the block ends with the timeout
        async with asyncio.timeout(None) as scope:
            with waiting.enter("a", scope):
                scope.reschedule(asyncio.get_running_loop().time() - 1)
                while not scope.expired():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0)
                async with asyncio.timeout(60) as another:
                    with waiting.enter("a", another):
                        await asyncio.sleep(0)
                        assert len(waiting) == 1
                raise asyncio.CancelledError
