"""Keeps what agents tell in the database, without letting anything wait for it.

News are written within about a second, for each agent at most every `NEWS_EVERY_S`. Each row is
renewed once in `RENEW_EVERY_S`, a few in each turn.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from colotrace_coordinator.errors import StoreError
from colotrace_coordinator.fleet.agents import AgentName
from colotrace_coordinator.fleet.facts import facts_of, trouble_of
from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.model import Trouble

from .behind import pause, until_cancelled
from .seen import SeenAgents, Told

WRITE_EVERY_S = 1.0
NEWS_EVERY_S = 5.0
RENEW_EVERY_S = 60.0
PRUNE_EVERY_S = 600.0
BATCH = 200
"""Agents in one transaction, and agents that are renewed in one turn."""
MOST_WAITING = 10_000
"""Agents with news, while the database does not answer; then the oldest news are dropped."""

log = structlog.get_logger(__name__)


class AgentMemory:
    """Writes what the agents of a registry tell."""

    def __init__(
        self,
        seen: SeenAgents,
        registry: Registry,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`clock` gives any steady time."""
        self._seen = seen
        self._registry = registry
        self._clock = clock or asyncio.get_running_loop().time
        self._news: dict[AgentName, None] = {}
        self._renewals: deque[AgentName] = deque()
        # When the news of an agent were written last, for `NEWS_EVERY_S`; oldest first.
        self._written: dict[AgentName, float] = {}
        self._renewed_at = self._pruned_at = self._clock()
        self._trouble = ""

    def changed(self, name: AgentName) -> None:
        """Queue an agent that has come, gone, or changed."""
        self._news[name] = None
        if len(self._news) > MOST_WAITING:
            del self._news[next(iter(self._news))]

    async def run(self) -> None:
        """Write until cancelled, and note then that no agent is attached any more."""
        await until_cancelled(self._run)

    async def _run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self._turn()
            await pause(stopping, seconds=WRITE_EVERY_S)
        try:
            await self._seen.stopped()
        except StoreError as error:
            log.warning("agents_not_written", error=str(error))

    async def _turn(self) -> None:
        try:
            await self.write()
        except StoreError as error:
            if not self._trouble:
                log.warning("agents_not_written", error=str(error), waiting=len(self._news))
            self._trouble = str(error)
        else:
            self._trouble = ""

    async def write(self) -> None:
        """Write what is due now.

        Raises:
            StoreUnavailableError: the database does not answer; what is due stays so.
        """
        now = self._clock()
        self._forget_times(now)
        due = [name for name in self._news if name not in self._written]
        for at in range(0, len(due), BATCH):
            await self._write_news(due[at : at + BATCH], now)
        if not self._renewals and now >= self._renewed_at + RENEW_EVERY_S:
            self._renewed_at = now
            self._renewals.extend(self._registry.names())
        names = [self._renewals[at] for at in range(min(BATCH, len(self._renewals)))]
        if told := self._told(names):
            await self._seen.attached(told, news=False)
        for _ in names:
            self._renewals.popleft()
        if now >= self._pruned_at + PRUNE_EVERY_S:
            self._pruned_at = now
            await self._seen.prune()

    async def _write_news(self, names: list[AgentName], now: float) -> None:
        # Taken out before they are written: they may change again meanwhile.
        for name in names:
            del self._news[name]
        try:
            if told := self._told(names):
                await self._seen.attached(told, news=True)
            attached = {(facts.colo, facts.agent_id) for facts, _ in told}
            left: dict[AgentName, Trouble | None] = {
                name: trouble_of(self._registry, name) for name in names if name not in attached
            }
            if left:
                await self._seen.left(left)
        except BaseException:
            for name in names:
                self.changed(name)
            raise
        for name in names:
            self._written[name] = now

    def _told(self, names: list[AgentName]) -> list[Told]:
        """What those of the agents tell that are attached, in an order that all coordinators use:
        their transactions lock the rows."""
        found = [(name, facts_of(self._registry, name)) for name in sorted(names)]
        return [(facts, trouble_of(self._registry, name)) for name, facts in found if facts]

    def _forget_times(self, now: float) -> None:
        while self._written:
            name = next(iter(self._written))
            if now < self._written[name] + NEWS_EVERY_S:
                return
            del self._written[name]
