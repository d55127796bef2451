"""Measurements that another coordinator runs, as far as the database does not have them (ADR 19).

The database has a measurement that runs, and its end, half a second later. A client that another
coordinator has answered does not know that, so it is waited for here.
"""

import asyncio
from collections.abc import Callable

from colotrace_proto.measured import Status, Summary

from colotrace_coordinator.live.feed import Feed

from .ids import began_ms
from .keeping import History, Relay

MAY_RUN_S = 7_200.0
"""A measurement that is older, by its id, has ended. It runs for 25 s; the rest is for coordinators
whose wall clocks differ by more than an hour, as by a wrong time zone."""
WRITTEN_WITHIN_S = 3.0
"""How long the database is waited for: a cancelled measurement looks up names before it ends."""
_LOOK_EVERY_S = 0.1


class Elsewhere:
    """What other coordinators run. `relay` is None without a broker, `history` if nothing is
    kept."""

    def __init__(
        self,
        history: History | None,
        relay: Relay | None,
        *,
        now_ms: Callable[[], int],
        within_s: float = WRITTEN_WITHIN_S,
    ) -> None:
        self._history = history
        self._relay = relay
        self._now_ms = now_ms
        self._within_s = within_s

    async def find(self, account_id: str, measurement_id: str) -> Summary | None:
        """The measurement as the database has it, which is waited for if it runs elsewhere."""
        found = await self._kept(account_id, measurement_id)
        if found is not None or not self._may_run(found, measurement_id):
            return found
        if self._relay is None or await self._relay.follow(account_id, measurement_id) is None:
            return await self._kept(account_id, measurement_id)  # it may have ended meanwhile
        return await self._written(account_id, measurement_id, lambda _: True)

    async def feed(self, account_id: str, measurement_id: str, *, position: int) -> Feed | None:
        """The events of a measurement that runs elsewhere; None if it does not run. The feed is
        closed if its coordinator seems lost, but does not count as lost yet."""
        found = await self._kept(account_id, measurement_id)
        if not self._may_run(found, measurement_id):
            return None
        if self._relay is not None:
            feed = await self._relay.follow(account_id, measurement_id, position=position)
            if feed is not None:
                return feed
            found = await self._kept(account_id, measurement_id)
        if found is None or found.status is not Status.RUNNING:
            return None
        # What the database has now would get numbers that its final state gives to other events.
        lost = Feed()
        lost.close()
        return lost

    async def cancel(self, account_id: str, measurement_id: str) -> bool:
        """Whether another coordinator has cancelled it; its end is in the database then."""
        found = await self._kept(account_id, measurement_id)
        if self._relay is None or not self._may_run(found, measurement_id):
            return False
        if not await self._relay.cancel(account_id, measurement_id):
            return False
        await self._written(
            account_id, measurement_id, lambda summary: summary.status is not Status.RUNNING
        )
        return True

    def _may_run(self, found: Summary | None, measurement_id: str) -> bool:
        if found is not None:
            return found.status is Status.RUNNING
        return self._now_ms() - began_ms(measurement_id) < MAY_RUN_S * 1_000

    async def _kept(self, account_id: str, measurement_id: str) -> Summary | None:
        if self._history is None:
            return None
        return await self._history.find(account_id, measurement_id)

    async def _written(
        self, account_id: str, measurement_id: str, is_wanted: Callable[[Summary], bool]
    ) -> Summary | None:
        """What the database has once it is wanted, or in the end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._within_s
        while True:
            found = await self._kept(account_id, measurement_id)
            if (found is not None and is_wanted(found)) or loop.time() >= until:
                return found
            await asyncio.sleep(_LOOK_EVERY_S)
