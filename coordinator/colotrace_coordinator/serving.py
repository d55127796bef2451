"""Runs the parts of `serve`, and stops them in order."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import structlog
import uvloop
from colotrace_proto.deadlines import LATEST_S, STOP_S
from colotrace_proto.messages import ColoName
from colotrace_proto.service_manager import READY, STOPPING, beat, notify, watchdog_s
from colotrace_proto.starting import mark_started

from . import garbage
from .api.large import preload
from .authority.identity import EnrolledName, IdentityId
from .certificates import CertificateWatch
from .colos.known import ColoFacts
from .composition.build import Parts, build
from .composition.enrolling import Enrolling
from .composition.links import Links
from .enrolment import running_out
from .errors import CoordinatorError, StoreUnavailableError
from .fleet.registry import Registry
from .listen import Address, bound, listen
from .loop_lag import sample
from .settings import ServeSettings

log = structlog.get_logger("colotrace_coordinator")

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SetupError: an option cannot be used.
        StoreError: the database cannot be used.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except Exception as error:
        leaf = _leaf(error)
        if isinstance(leaf, CoordinatorError):
            raise leaf from None
        raise


async def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT; see `run`."""
    stopping = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        parts = await build(settings, stack, stopping=stopping)
        places = await _listen(settings, parts.links, stack)
        await _run(parts, places, stopping)
    log.info("stopped")


@dataclass(frozen=True, slots=True)
class _Places:
    """Where each part listens."""

    http: list[socket.socket]
    ops: list[socket.socket]
    join: list[socket.socket]
    grpc: Address


async def _listen(
    settings: ServeSettings, links: Links, stack: contextlib.AsyncExitStack
) -> _Places:
    http = listen(settings.http, flag="--http")
    stack.callback(_close, http)
    ops = listen(settings.ops, flag="--ops") if settings.ops is not None else []
    stack.callback(_close, ops)
    join = listen(settings.authority.join, flag="--join") if settings.authority else []
    stack.callback(_close, join)
    port = await links.direct.start()
    stack.push_async_callback(links.direct.stop)
    grpc = Address(settings.grpc.host or "0.0.0.0", port)  # noqa: S104 - the default
    return _Places(http, ops, join, grpc)


async def _run(parts: Parts, places: _Places, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set; then end what runs, in order."""
    settings, links, servers = parts.base.settings, parts.links, parts.servers
    async with asyncio.TaskGroup() as tasks:
        watch = CertificateWatch(
            settings.tls.files if settings.tls else (),
            [links.direct.reload, servers.api.reload_certificate],
            log=log,
        )
        work = _background(parts, reply_to=str(places.grpc))
        if parts.enrolling is not None:
            work |= await _enrolling(parts, parts.enrolling, places)
        work["certificates"] = watch.run()
        work["watchdog"] = beat(watchdog_s())
        background = [tasks.create_task(each, name=name) for name, each in work.items()]
        # SIGHUP of a closed terminal ends the program that was started at it.
        hung_up = sys.stdin is not None and sys.stdin.isatty()
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGHUP, stopping.set if hung_up else watch.ask
        )
        await preload()
        serving = tasks.create_task(servers.api.serve(sockets=places.http), name="http")
        where = {"http": str(bound(places.http, settings.http)), "grpc": str(places.grpc)}
        if servers.operation is not None and settings.ops is not None:
            tasks.create_task(servers.operation.serve(sockets=places.ops), name="operation")
            where["ops"] = str(bound(places.ops, settings.ops))
        if servers.enrolment is not None and settings.authority is not None:
            tasks.create_task(servers.enrolment.serve(sockets=places.join), name="enrolment")
            where["join"] = str(bound(places.join, settings.authority.join))
        mark_started()
        notify(READY)
        log.info("listening", **where, tls=settings.encrypted)
        await _until(stopping, serving)
        notify(STOPPING)
        log.info("stopping")
        for number in _STOP_SIGNALS:  # a second signal ends the process at once
            asyncio.get_running_loop().remove_signal_handler(number)
        await asyncio.sleep(settings.stop_delay_s if not serving.done() else 0)
        if servers.enrolment is not None:
            servers.enrolment.stop()
        # Running requests need their agents, so the links end after them.
        servers.api.stop()
        # Streams end with their measurements, and no measurement lasts longer.
        await asyncio.wait([serving], timeout=LATEST_S)
        servers.streams.stop()
        await serving
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await parts.tracing.service.drain()
        if parts.base.relay is not None:
            await parts.base.relay.drain()
        if servers.operation is not None:  # last: it reports the state while stopping
            servers.operation.stop()
        for task in background:
            task.cancel()


def _background(parts: Parts, *, reply_to: str) -> dict[str, Coroutine[Any, Any, None]]:
    """What runs beside the servers, by the names of its tasks. `reply_to`: where agents reach the
    streams if `--advertise` does not say otherwise."""

    def disk(trouble: str) -> None:
        parts.base.metrics.database_full.set(bool(trouble))
        if trouble:
            log.error("no_space_left", detail=trouble)
        else:
            log.info("space_available")

    base, store, links = parts.base, parts.store, parts.links
    registry, asns = parts.tracing.registry, parts.tracing.asns
    service = parts.tracing.service
    work = {
        "audit": store.audit.run(),
        "history": store.history.run(),
        "loop-lag": sample(base.metrics.loop_lag),
        "garbage": garbage.run(rows=lambda: service.rows),
        "colo-memory": store.memory.run(lambda: _attached(registry), registry.forget),
        "agent-memory": parts.agents.run(),
        "disk": store.database.watch(changed=disk),
        "running-out": running_out.watch(
            base.metrics,
            registry,
            version=version("colotrace"),
            tokens=parts.enrolling.tokens if parts.enrolling is not None else None,
        ),
    }
    if asns is not None:
        work["asn-file"] = asns.run()
    if links.bus is not None and base.settings.mqtt is not None:
        work["broker"] = links.bus.run(reply_to=base.settings.mqtt.advertise or reply_to)
    return work


async def _enrolling(
    parts: Parts, enrolling: Enrolling, places: _Places
) -> dict[str, Coroutine[Any, Any, None]]:
    """What runs for the coordinator's own CA. Says from where agents enrol and attach."""
    settings, servers, direct = parts.base.settings, parts.servers, parts.links.direct
    if settings.authority is None or servers.enrolment is None:
        return {}
    name = settings.authority.names[0]
    advertised = settings.mqtt.advertise if settings.mqtt is not None else ""
    enrolling.registrar.coordinator = advertised or str(Address(name, places.grpc.port))
    if settings.mqtt is not None:
        enrolling.registrar.broker = settings.mqtt.for_agents
        enrolling.registrar.broker_authority = settings.mqtt.authority.decode()
    enrolling.registrar.suspected = parts.tracing.registry.troubles.note
    join = bound(places.join, settings.authority.join)
    with contextlib.suppress(StoreUnavailableError):  # a full disk; the one before is kept
        await enrolling.authorities.announce(str(Address(name, join.port)))
    reloads = [direct.reload, servers.enrolment.reload_certificate]
    if settings.tls is None:
        reloads.append(servers.api.reload_certificate)

    def end_revoked(identities: Collection[IdentityId]) -> None:
        if parts.links.bus is not None:
            parts.links.bus.judge()  # first: the end of its stream is then that of the agent
        direct.attached.end_revoked(identities)

    def tell_renamed(names: Mapping[IdentityId, EnrolledName]) -> None:
        if parts.links.bus is not None:
            parts.links.bus.tell_renamed(names)
        direct.attached.end_renamed(names)

    if (renew := parts.links.renew_at_broker) is not None:
        reloads.append(renew)
    return {
        "own-certificate": enrolling.certificate.run(reloads),
        "authorities": enrolling.rotation.run(reloads),
        "enrolled-agents": enrolling.known.run(
            revoked=end_revoked,
            renamed=tell_renamed,
            drained=parts.tracing.reports.drain,
        ),
    }


async def _until(stopping: asyncio.Event, serving: asyncio.Task[None]) -> None:
    stop = asyncio.create_task(stopping.wait(), name="stop-signal")
    try:
        await asyncio.wait({stop, serving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()


def _attached(registry: Registry) -> list[tuple[ColoName, ColoFacts]]:
    return [(colo.name, registry.facts(colo.name)) for colo in registry.colos() if colo.agents]


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _leaf(error: BaseException) -> BaseException:
    """The first exception inside of nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
