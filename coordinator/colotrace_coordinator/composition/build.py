"""Builds all parts of a coordinator, and hands them to one another. `serving` runs them."""

import asyncio
import contextlib
from dataclasses import dataclass

from colotrace_coordinator.metrics import Metrics
from colotrace_coordinator.settings import ServeSettings
from colotrace_coordinator.store.seeing import AgentMemory

from .base import Base, Store, build_base, open_store
from .enrolling import Enrolling, open_enrolling
from .links import Links, build_links
from .servers import Servers, build_servers
from .tracing import Tracing, build_agent_memory, open_tracing


@dataclass(frozen=True, slots=True)
class Parts:
    """All parts of a coordinator."""

    base: Base
    store: Store
    enrolling: Enrolling | None
    tracing: Tracing
    agents: AgentMemory
    links: Links
    servers: Servers


async def build(
    settings: ServeSettings, stack: contextlib.AsyncExitStack, *, stopping: asyncio.Event
) -> Parts:
    """The parts, which nothing runs yet. `stack` closes what was opened. Once `stopping` is set,
    `/readyz` refuses.

    Raises:
        SetupError: an option cannot be used.
        StoreError: the database cannot be used.
    """
    base = build_base(settings, stack)
    store = await open_store(base, stack)
    enrolling = await open_enrolling(base, store)
    tracing = await open_tracing(base, store, stack)
    agents = build_agent_memory(base, store, tracing)
    links = build_links(base, tracing.reports, enrolling)
    servers = build_servers(base, store, enrolling, links, tracing, stopping)
    _report_queues(base.metrics, links, store)
    return Parts(base, store, enrolling, tracing, agents, links, servers)


def _report_queues(metrics: Metrics, links: Links, store: Store) -> None:
    """Let the metrics read these queues when they are asked for."""
    metrics.stream_messages_waiting.set_function(links.direct.attached.messages_waiting)
    metrics.streams_blocked.set_function(links.direct.attached.blocked)
    metrics.agent_certificate_end.set_function(links.direct.attached.first_end)
    metrics.audit_waiting.set_function(lambda: store.audit.waiting)
    metrics.audit_dropped.set_function(lambda: store.audit.dropped)
    history = store.history
    metrics.history_waiting.set_function(lambda: history.waiting)
    metrics.history_dropped.set_function(lambda: history.dropped)
    metrics.history_written.set_function(lambda: history.written)
    metrics.history_failures.set_function(lambda: history.failures)
    metrics.history_damaged.set_function(lambda: history.damaged)
    metrics.history_trimmed.set_function(lambda: history.trimmed)
    metrics.history_bytes.set_function(lambda: history.bytes)
