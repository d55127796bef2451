"""Names of addresses (PTR records), cached, with a bounded wait.

At most `MAX_IN_FLIGHT` look-ups run; others wait in a fair queue (`jobs.fair`), so that those of
one request do not delay those of another. An address that several requests want waits in the turn
of each, and is looked up in the first of these turns.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

import dns.rdatatype
import dns.resolver
import dns.reversename
from colotrace_proto.hostnames import is_host_name
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.jobs.fair import FairQueue, Origin, Running
from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.shares import Shares

from .servers import NameServers

MIN_TTL_S = 60.0
MAX_TTL_S = 86_400.0
NEGATIVE_TTL_S = 60.0
MAX_CACHED = 100_000
MAX_IN_FLIGHT = 64
MAX_QUEUED = 10_000
"""Look-ups that wait. An account may have 80 % of them. Further addresses are not looked up for
this answer."""
# Lifetime of "no name" while no name server is configured.
UNASKED_S = 2.0


@dataclass(frozen=True, slots=True)
class _Cached:
    name: str | None
    until: float


class _Wish(NamedTuple):
    """An address, and the request that wants its name."""

    address: str
    origin: Origin


class Names:
    """Looks up names. Used with `async with`: leaving it cancels running look-ups.

    `resolver` is passed to `NameServers`.

    Raises:
        ResolverError: `resolver` is malformed.
    """

    def __init__(
        self, *, resolver: str | None, metrics: Metrics, log: FilteringBoundLogger
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._servers = NameServers(resolver, clock=self._loop.time, log=log)
        self._hits = metrics.names.labels(source="cache")
        self._asked = metrics.names.labels(source="server")
        self._failed = metrics.names.labels(source="failed")
        self._dropped = metrics.names.labels(source="dropped")
        metrics.names_waiting.set_function(lambda: len(self._wanted))
        self._log = log
        # Least recently used first.
        self._cache: OrderedDict[str, _Cached] = OrderedDict()
        # Addresses that wait or are looked up; done when the result is in the cache.
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._flights: dict[str, asyncio.Task[None]] = {}
        self._running: Running[_Wish] = Running()
        self._queue: FairQueue[_Wish] = FairQueue(self._running)
        self._shares: Shares[str] = Shares(MAX_QUEUED, MAX_QUEUED)
        self._tasks = asyncio.TaskGroup()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        for task in self._flights.values():
            task.cancel()
        for wanted in self._wanted.values():
            wanted.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def prefetch(self, addresses: Iterable[str], origin: Origin) -> None:
        """Start the look-ups of addresses that are not cached."""
        now = self._loop.time()
        for address in addresses:
            cached = self._cache.get(address)
            if cached is None or cached.until <= now:
                self._want(address, origin)
        self._start()

    async def names(
        self, addresses: Iterable[str], origin: Origin, *, wait_s: float
    ) -> dict[str, str]:
        """The names that are found within `wait_s` seconds; addresses without one are absent."""
        asked = list(addresses)
        waited_for = set()
        hits = 0
        for address in asked:
            if self._cached(address) is not None:
                hits += 1
            elif (wanted := self._want(address, origin)) is not None:
                waited_for.add(wanted)
        self._hits.inc(hits)
        self._start()
        if waited_for:
            await asyncio.wait(waited_for, timeout=wait_s)
        found = {}
        for address in asked:
            cached = self._cache.get(address)
            if cached is not None and cached.name is not None:
                found[address] = cached.name
        return found

    def known_now(self, addresses: Iterable[str]) -> tuple[dict[str, str], set[str]]:
        """The names that are cached, and the addresses that are still looked up."""
        found: dict[str, str] = {}
        awaited: set[str] = set()
        for address in addresses:
            cached = self._cache.get(address)
            if cached is not None and cached.name is not None:
                found[address] = cached.name
            elif cached is None and address in self._wanted:
                awaited.add(address)
        return found, awaited

    def _cached(self, address: str) -> _Cached | None:
        cached = self._cache.get(address)
        if cached is None:
            return None
        if cached.until <= self._loop.time():
            del self._cache[address]
            return None
        self._cache.move_to_end(address)
        return cached

    def _want(self, address: str, origin: Origin) -> asyncio.Future[None] | None:
        """Let an address wait in the turn of the origin. Returns what is done when it has been
        looked up; None if the account has its share of the queue."""
        wanted = self._wanted.get(address)
        if address in self._flights or not self._open:
            return wanted
        wish = _Wish(address, origin)
        if wish in self._queue:
            return wanted
        if not self._shares.take(origin.account):
            if wanted is None:
                self._dropped.inc()
            return wanted
        self._queue.push(wish, origin)
        if wanted is None:
            wanted = self._wanted[address] = self._loop.create_future()
        return wanted

    def _start(self) -> None:
        """Start the look-ups whose turn it is."""
        while self._open and (wish := self._queue.pop(MAX_IN_FLIGHT)) is not None:
            address, origin = wish
            self._shares.release(origin.account)
            if address not in self._wanted or address in self._flights:
                continue  # it was looked up in another's turn
            self._running.add(wish, origin)
            self._flights[address] = self._tasks.create_task(self._fly(wish), name=f"ptr {address}")

    async def _fly(self, wish: _Wish) -> None:
        address = wish.address
        try:
            name, ttl_s = await self._look_up(address)
            self._cache[address] = _Cached(name, self._loop.time() + ttl_s)
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        finally:
            self._running.remove(wish)
            del self._flights[address]
            wanted = self._wanted.pop(address)
            if not wanted.done():
                wanted.set_result(None)
            self._start()

    async def _look_up(self, address: str) -> tuple[str | None, float]:
        """The name, or None, and its lifetime in seconds."""
        resolver = self._servers.resolver()
        if resolver is None:
            self._failed.inc()
            return None, UNASKED_S
        self._asked.inc()
        question = dns.reversename.from_address(address)
        try:
            answer = await resolver.resolve(
                question, dns.rdatatype.PTR, search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return None, NEGATIVE_TTL_S
        except Exception as error:  # noqa: BLE001 - a malicious answer can raise anything; it costs one name
            self._failed.inc()
            self._log.debug("name_lookup_failed", address=address, error=type(error).__name__)
            return None, NEGATIVE_TTL_S
        if answer.rrset is None:
            return None, NEGATIVE_TTL_S
        for record in answer.rrset:
            name = hostname(record.target.to_text(omit_final_dot=True))
            if name is not None:
                return name, kept_s(answer.rrset.ttl)
        return None, NEGATIVE_TTL_S


def hostname(text: str) -> str | None:
    """The text if it is a valid host name; else None."""
    # The owner of the address chooses the name, so it is not trusted.
    shown = text.isascii() and not text.endswith(".") and is_host_name(text)
    return text if shown else None


def kept_s(ttl_s: float) -> float:
    """How long a name with this TTL is cached, in seconds."""
    return min(max(ttl_s, MIN_TTL_S), MAX_TTL_S)
