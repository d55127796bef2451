"""What most parts need, and the database."""

import contextlib
import secrets
from dataclasses import dataclass

from colotrace_proto.running import RunningClock
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from colotrace_coordinator.metrics import Metrics, RelayMetrics
from colotrace_coordinator.peers.peers import Peers
from colotrace_coordinator.peers.relay.relay import Relay
from colotrace_coordinator.settings import ServeSettings
from colotrace_coordinator.store.audit import Audit
from colotrace_coordinator.store.colos import ColoMemory, ColoStore
from colotrace_coordinator.store.credentials import Credentials
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import History as DatabaseHistory
from colotrace_coordinator.turns import Turns


@dataclass(frozen=True, slots=True)
class Base:
    """What most parts need. `peers` and `relay` are None without a broker. `coordinator` identifies
    this process, in 32 hexadecimal digits."""

    settings: ServeSettings
    clock: RunningClock
    numbers: CollectorRegistry
    metrics: Metrics
    turns: Turns
    peers: Peers | None
    relay: Relay | None
    coordinator: str


def build_base(settings: ServeSettings, stack: contextlib.AsyncExitStack) -> Base:
    """The clock, the metrics and the like; `stack` closes what was opened."""
    clock = RunningClock()
    stack.callback(clock.close)
    numbers = CollectorRegistry()
    ProcessCollector(registry=numbers)
    PlatformCollector(registry=numbers)
    peers = relay = None
    coordinator = secrets.token_hex(16)
    if settings.mqtt is not None:
        peers = Peers(coordinator)
        relay = Relay(peers, metrics=RelayMetrics(numbers), clock=clock)
    metrics, turns = Metrics(numbers), Turns()
    return Base(settings, clock, numbers, metrics, turns, peers, relay, coordinator)


@dataclass(frozen=True, slots=True)
class Store:
    """The database, and what is kept in it."""

    database: Database
    credentials: Credentials
    audit: Audit
    memory: ColoMemory
    history: DatabaseHistory


async def open_store(base: Base, stack: contextlib.AsyncExitStack) -> Store:
    """The database and what is kept in it; `stack` closes it.

    Raises:
        StoreError: the database cannot be used.
    """
    database = await Database.open(base.settings.location, even_full=True)
    stack.push_async_callback(database.close)
    database.limit = base.clock.timeout
    credentials = Credentials(database)
    memory = await ColoMemory.load(ColoStore(database), vouched=base.settings.encrypted)
    history = DatabaseHistory(
        database,
        coordinator=base.coordinator,
        turns=base.turns,
        keep_days=base.settings.keep_days,
        keep_bytes=base.settings.keep_bytes,
    )
    return Store(database, credentials, Audit(database, credentials), memory, history)
