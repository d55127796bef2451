"""The composition root of `serve`: builds all parts, runs them, and stops them in order."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from importlib.metadata import version

import structlog
import uvloop
from colotrace_proto.deadlines import STOP_S
from colotrace_proto.descriptors import raise_limit
from colotrace_proto.messages import ColoName
from colotrace_proto.running import RunningClock
from colotrace_proto.starting import mark_started
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from .api.app import create_app, create_operation_app
from .api.http.server import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_ADDRESS,
    HttpServer,
    Limits,
    ServerCertificate,
)
from .api.metrics import HttpMetrics
from .certificates import CertificateWatch
from .descriptors import share
from .enrich.asn import AsnTable
from .enrich.names import Names
from .errors import CoordinatorError, StoppingError
from .fleet.link import StreamEvents
from .fleet.registry import MAX_AGENTS, Registry
from .jobs.target_rates import TargetLimits
from .links.direct.server import DirectLink
from .links.direct.tls import TlsFiles
from .listen import Address, bound, listen
from .loop_lag import sample
from .metrics import BrokerMetrics, Metrics
from .peers.peers import Peers
from .policy import TargetPolicy
from .service import TraceService
from .settings import ServeSettings
from .store.audit import Audit
from .store.colos import ColoMemory, ColoStore
from .store.credentials import Credentials
from .store.database import Database

log = structlog.get_logger("colotrace_coordinator")

_OPERATION = Limits(connections=100, connections_per_address=50, refused=5)
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
        database = await Database.open(settings.location, even_full=True)
        stack.push_async_callback(database.close)
        clock = RunningClock()
        stack.callback(clock.close)
        database.limit = clock.timeout
        credentials = Credentials(database)
        audit = Audit(database, credentials)
        memory = await ColoMemory.load(ColoStore(database), vouched=settings.tls is not None)

        numbers = CollectorRegistry()
        ProcessCollector(registry=numbers)
        PlatformCollector(registry=numbers)
        metrics = Metrics(numbers)
        asns = None
        if settings.asn_db:
            asns = AsnTable(settings.asn_db, log=log, metrics=metrics)
        names = await stack.enter_async_context(
            Names(resolver=settings.resolver, metrics=metrics, log=log)
        )
        peers = Peers() if settings.mqtt is not None else None
        service = TraceService(
            registry=Registry(memory, vouched=settings.tls is not None),
            names=names,
            asns=asns,
            policy=TargetPolicy(allow_private=settings.allow_private),
            metrics=metrics,
            log=log,
            clock=clock,
            target_limits=TargetLimits(
                of_account=settings.account_target_rate, in_all=settings.target_rate
            ),
            peers=peers,
        )
        https = agents_tls = None
        if settings.tls:
            certificate, key = settings.tls.certificate, settings.tls.key
            https = ServerCertificate(certificate, key)
            agents_tls = TlsFiles(
                certificate=certificate, key=key, client_authority=settings.tls.agent_ca
            )

        bus = None
        events: StreamEvents = service.agent_events
        if settings.mqtt is not None:
            from .links.mqtt.link import MqttLink  # needs the extra `mqtt`

            events = bus = MqttLink(
                service.agent_events,
                settings.mqtt.broker,
                tls=settings.mqtt.tls,
                metrics=BrokerMetrics(numbers),
                log=log,
                clock=clock,
                peers=peers,
            )
        link = DirectLink(
            events,
            host=settings.grpc.host or "::",
            port=settings.grpc.port,
            tls=agents_tls,
            log=log,
            clock=clock,
        )
        if bus is not None:
            bus.answered_by(link)
        metrics.stream_messages_waiting.set_function(link.messages_waiting)
        metrics.streams_blocked.set_function(link.blocked)
        metrics.audit_waiting.set_function(lambda: audit.waiting)
        metrics.audit_dropped.set_function(lambda: audit.dropped)

        async def ready() -> str:
            if stopping.is_set():
                raise StoppingError("the coordinator is stopping")
            await database.ping()
            if bus is not None:
                bus.check()
            return database.trouble

        def disk(trouble: str) -> None:
            metrics.database_full.set(bool(trouble))
            if trouble:
                log.error("no_space_left", detail=trouble)
            else:
                log.info("space_available")

        http_metrics = HttpMetrics(numbers)
        app = create_app(
            tracer=service,
            credentials=credentials,
            ready=ready,
            registry=numbers,
            version=version("colotrace"),
            audit=audit,
            requests_per_window=settings.requests_per_window,
            metrics=http_metrics,
            operation=settings.ops is None,
            limit=clock.timeout,
            peers=peers,
        )
        server = HttpServer(
            app, tls=https, trusted_proxies=settings.trusted_proxies, limits=_limits()
        )
        http = listen(settings.http, flag="--http")
        stack.callback(_close, http)
        ops: list[socket.socket] = []
        operation = None
        if settings.ops is not None:
            operation = HttpServer(
                create_operation_app(ready=ready, registry=numbers, metrics=http_metrics),
                limits=_OPERATION,
            )
            ops = listen(settings.ops, flag="--ops")
            stack.callback(_close, ops)
        grpc = Address(settings.grpc.host or "0.0.0.0", await link.start())  # noqa: S104 - the default
        stack.push_async_callback(link.stop)

        async with asyncio.TaskGroup() as tasks:
            watch = CertificateWatch(
                settings.tls.files if settings.tls else (),
                [link.reload, server.reload_certificate],
                log=log,
            )
            work = {
                "audit": audit.run(),
                "loop-lag": sample(metrics.loop_lag),
                "colo-memory": memory.run(lambda: _attached(service), service.forget),
                "disk": database.watch(changed=disk),
                "certificates": watch.run(),
            }
            if asns is not None:
                work["asn-file"] = asns.run()
            if bus is not None and settings.mqtt is not None:
                work["broker"] = bus.run(reply_to=settings.mqtt.advertise or str(grpc))
            background = [tasks.create_task(each, name=name) for name, each in work.items()]
            # SIGHUP of a closed terminal ends the program that was started at it.
            hung_up = sys.stdin is not None and sys.stdin.isatty()
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGHUP, stopping.set if hung_up else watch.ask
            )
            serving = tasks.create_task(server.serve(sockets=http), name="http")
            where = {"http": str(bound(http, settings.http)), "grpc": str(grpc)}
            if operation is not None and settings.ops is not None:
                tasks.create_task(operation.serve(sockets=ops), name="operation")
                where["ops"] = str(bound(ops, settings.ops))
            mark_started()
            _tune_garbage_collection()
            log.info("listening", **where, tls=settings.tls is not None)
            await _until(stopping, serving)
            log.info("stopping")
            for number in _STOP_SIGNALS:  # a second signal ends the process at once
                asyncio.get_running_loop().remove_signal_handler(number)
            await asyncio.sleep(settings.stop_delay_s if not serving.done() else 0)
            # Running requests need their agents, so the links end after them.
            server.stop()
            await serving
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await service.drain()
            if operation is not None:  # last: it reports the state while stopping
                operation.stop()
            for task in background:
                task.cancel()
    log.info("stopped")


def _tune_garbage_collection() -> None:
    """What exists now stays for good, and is not looked at again. A large request makes many
    objects that live for seconds and have no cycles: by default, collections stopped the loop for
    up to 400 ms, and took a third of the time. A collection of the youngest takes 2 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 20)


def _limits() -> Limits:
    """The API's limits, reduced to what the limit of open files allows beside the agents."""
    limits = Limits()
    wanted = MAX_CONNECTIONS + limits.refused
    files = share(raise_limit(), connections=wanted, agents=MAX_AGENTS)
    if files.enough:
        return limits
    connections = max(files.connections - limits.refused, files.connections // 2)
    log.warning(
        "open_files_limited",
        limit=files.limit,
        connections=connections,
        agents=files.agents,
        remedy="raise the hard limit of open files to 65536: LimitNOFILE= in the unit, ulimits "
        "in compose, or ulimit -Hn",
    )
    return Limits(
        connections=connections,
        connections_per_address=min(MAX_CONNECTIONS_PER_ADDRESS, max(connections // 4, 1)),
        refused=files.connections - connections,
    )


async def _until(stopping: asyncio.Event, serving: asyncio.Task[None]) -> None:
    stop = asyncio.create_task(stopping.wait(), name="stop-signal")
    try:
        await asyncio.wait({stop, serving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()


def _attached(service: TraceService) -> list[tuple[ColoName, str]]:
    return [(colo.name, colo.city) for colo in service.colos() if colo.agents]


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _leaf(error: BaseException) -> BaseException:
    """The first exception inside of nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
