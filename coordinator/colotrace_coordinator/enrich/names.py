"""Names of addresses (PTR records), cached, with a bounded wait."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import dns.rdatatype
import dns.resolver
import dns.reversename
from colotrace_proto.hostnames import is_host_name
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.metrics import Metrics

from .servers import NameServers

MIN_TTL_S = 60.0
MAX_TTL_S = 86_400.0
NEGATIVE_TTL_S = 60.0
MAX_CACHED = 100_000
MAX_IN_FLIGHT = 64
# Look-ups that run or wait. Further addresses are not looked up for this answer.
MAX_QUEUED = 10_000
# Lifetime of "no name" while no name server is configured.
UNASKED_S = 2.0


@dataclass(frozen=True, slots=True)
class _Cached:
    name: str | None
    until: float


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
        metrics.names_waiting.set_function(lambda: len(self._flights))
        self._log = log
        # Least recently used first.
        self._cache: OrderedDict[str, _Cached] = OrderedDict()
        self._flights: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(MAX_IN_FLIGHT)
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
        await self._tasks.__aexit__(kind, error, trace)

    def prefetch(self, addresses: Iterable[str]) -> None:
        """Start the look-ups of addresses that are not cached."""
        now = self._loop.time()
        for address in addresses:
            cached = self._cache.get(address)
            if cached is None or cached.until <= now:
                self._flight(address)

    async def names(self, addresses: Iterable[str], *, wait_s: float) -> dict[str, str]:
        """The names that are found within `wait_s` seconds; addresses without one are absent."""
        wanted = list(addresses)
        flights = set()
        hits = 0
        for address in wanted:
            if self._cached(address) is not None:
                hits += 1
            elif (flight := self._flight(address)) is not None:
                flights.add(flight)
        self._hits.inc(hits)
        if flights:
            await asyncio.wait(flights, timeout=wait_s)
        found = {}
        for address in wanted:
            cached = self._cache.get(address)
            if cached is not None and cached.name is not None:
                found[address] = cached.name
        return found

    def _cached(self, address: str) -> _Cached | None:
        cached = self._cache.get(address)
        if cached is None:
            return None
        if cached.until <= self._loop.time():
            del self._cache[address]
            return None
        self._cache.move_to_end(address)
        return cached

    def _flight(self, address: str) -> asyncio.Task[None] | None:
        """The address's running look-up, which is started if there is none; None at the bound."""
        flight = self._flights.get(address)
        if flight is None and self._open and len(self._flights) < MAX_QUEUED:
            flight = self._tasks.create_task(self._fly(address), name=f"ptr {address}")
            self._flights[address] = flight
            flight.add_done_callback(lambda _: self._flights.pop(address, None))
        return flight

    async def _fly(self, address: str) -> None:
        async with self._places:
            name, ttl_s = await self._look_up(address)
        self._cache[address] = _Cached(name, self._loop.time() + ttl_s)
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)

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
