"""`colotrace-agent run`: attached to a coordinator until a signal stops it."""

from __future__ import annotations

import asyncio
import secrets
import signal
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from colotrace_proto.bus import Broker
from colotrace_proto.deadlines import DRAIN_S
from colotrace_proto.messages import AgentId, ColoName, Family
from colotrace_proto.running import RunningClock
from colotrace_proto.service_manager import READY, STOPPING, beat, notify, watchdog_s
from colotrace_proto.starting import mark_started
from colotrace_proto.tasks import first_of

from colotrace_agent.errors import StartError
from colotrace_agent.host.resolve import JOB_LOOKUP_S, JOBS_RATE, Resolver
from colotrace_agent.host.usage import ProcessUsage
from colotrace_agent.job.admission import Jobs
from colotrace_agent.link.capability import FamilyNews
from colotrace_agent.link.session import Identity
from colotrace_agent.link.stream import Stream
from colotrace_agent.link.tls import Tls
from colotrace_agent.network.sockets import RECEIVE_BUFFER, RawSockets
from colotrace_agent.packets.formats import PACKET_TYPES
from colotrace_agent.prober import Prober, open_prober

from .health import keep_health

if TYPE_CHECKING:
    from colotrace_agent.enrolment.state import StateDirectory
    from colotrace_agent.link.mqtt import MqttLink

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Options of the command line, checked."""

    coordinator: str
    """HOST:PORT; not used with `broker`."""
    broker: Broker | None
    """The MQTT broker that delivers jobs."""
    broker_tls: ssl.SSLContext | None
    identity: Identity
    """Its families are set by `run`."""
    tls: Tls | None
    allow_private: bool
    rate: float | None
    sockets: RawSockets
    state: StateDirectory | None = None
    """Where the certificate of an enrolled agent is, which is renewed in time."""
    health_file: Path | None = None
    """See `health`."""
    broker_context: Callable[[], ssl.SSLContext] | None = None
    """Makes `broker_tls` anew, with the certificate and the CA that an enrolled agent has then.
    Raises OSError, StartError or ValueError."""


async def run(settings: RunSettings) -> None:
    """Serves the coordinator until SIGTERM or SIGINT, then drains; a second signal ends it at
    once."""
    resolver = Resolver(within_s=JOB_LOOKUP_S, rate=JOBS_RATE)
    prober = open_prober(rate=settings.rate, sockets=settings.sockets)
    try:
        while await _serve(settings, prober, resolver):
            settings = await asyncio.to_thread(_named_anew, settings)
    finally:
        prober.close()
        await resolver.close()


async def _serve(settings: RunSettings, prober: Prober, resolver: Resolver) -> bool:
    """Serves until a signal stops the agent, or until it has drained since it was renamed; True
    then."""
    identity = settings.identity
    jobs = Jobs(
        prober,
        resolver,
        packet_types=PACKET_TYPES,
        max_jobs=identity.max_jobs,
        allow_private=settings.allow_private,
        usage=ProcessUsage(),
    )
    clock = RunningClock()
    link: Stream | MqttLink
    if settings.broker is None:
        link = Stream(settings.coordinator, identity, jobs, tls=settings.tls, clock=clock)
    else:
        from colotrace_agent.link import mqtt  # its packages are an extra

        link = mqtt.MqttLink(
            settings.broker,
            identity,
            jobs,
            broker_tls=settings.broker_tls,
            tls=settings.tls,
            clock=clock,
            renamed=lambda: stop.rename() if settings.state is not None else None,
        )

    def tell(families: frozenset[Family]) -> None:
        identity.families = families
        _log_families(families)
        link.changed()

    tell(prober.families)

    news = FamilyNews(
        identity.families, lambda: prober.families, tell, loop=asyncio.get_running_loop()
    )
    prober.watch_families(news.look)
    news.look()
    _log_buffers(settings.sockets)
    stop = _Stop(renew=link.renew)
    mark_started()
    notify(READY)
    _log.info("agent up", agent=identity.agent_id, colo=identity.colo)
    work = [link.run(), _until_stopped(stop, jobs, link), beat(watchdog_s())]
    if settings.state is not None:
        from colotrace_agent.enrolment.renewal import Renewal

        renewal = Renewal(
            settings.state,
            renewed=lambda: _renewed(settings, link, stop),
            keeps_name=settings.broker is not None,
        )
        work.append(renewal.run())
    if settings.health_file is not None:
        work.append(keep_health(settings.health_file, attached=lambda: link.is_attached))
    try:
        await first_of(*work)
    finally:
        news.close()
        clock.close()
    if not stop.renamed:
        _log.info("agent down")
    return stop.renamed


def _named_anew(settings: RunSettings) -> RunSettings:
    """The settings with the name that the agent has by now, as a new process. Without an answer of
    the coordinator it is the former one, until the agent is started again."""
    from colotrace_agent.enrolment.renewal import Renewal

    state = settings.state
    if state is None:
        return settings
    try:
        Renewal(state).renew()
        kept = state.settings()
    except (StartError, OSError, ValueError) as error:
        _log.warning("certificate not renewed", reason=str(error))
        identity = replace(settings.identity, boot_id=secrets.token_bytes(16))
        return replace(settings, identity=identity, broker_tls=_to_broker(settings))
    _log.info("agent renamed", agent=kept.agent_id, colo=kept.colo)
    identity = replace(
        settings.identity,
        colo=ColoName(kept.colo),
        agent_id=AgentId(kept.agent_id),
        city=kept.city,
        boot_id=secrets.token_bytes(16),
    )
    return replace(settings, identity=identity, broker_tls=_to_broker(settings))


def _renewed(settings: RunSettings, link: Stream | MqttLink, stop: _Stop) -> None:
    """Uses the new certificate at the broker. If it has another name, the former one is of no use
    any more, since another agent may have it by now: go on under the new one."""
    if settings.state is None or isinstance(link, Stream):
        return
    if (context := _to_broker(settings)) is not None:
        link.use(context)
    kept, identity = settings.state.settings(), settings.identity
    if (kept.colo, kept.agent_id) != (identity.colo, identity.agent_id):
        stop.rename()


def _to_broker(settings: RunSettings) -> ssl.SSLContext | None:
    """The context for the broker with the certificate as it is now. It is a new one: the former one
    would go on to trust a CA that was retired."""
    if settings.broker_context is None:
        return settings.broker_tls
    try:
        return settings.broker_context()
    except (StartError, OSError, ValueError) as error:
        _log.warning("certificate not used at the broker", reason=str(error))
        return settings.broker_tls


async def _until_stopped(stop: _Stop, jobs: Jobs, link: Stream | MqttLink) -> None:
    await stop.first.wait()
    notify(STOPPING)
    _log.info("draining", jobs=len(jobs))
    await first_of(drain(jobs, link, within_s=DRAIN_S), stop.second.wait())


async def drain(jobs: Jobs, link: Stream | MqttLink, *, within_s: float) -> None:
    """Takes no more jobs; returns once all have ended and their coordinators know. Jobs that are
    left after that time are cancelled."""
    jobs.draining = True
    link.changed()
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await jobs.ended()
            await link.settled()
    jobs.cancel_all()


def _log_families(families: frozenset[Family]) -> None:
    if families:
        _log.info("address families", families=[f"IPv{family}" for family in sorted(families)])
    else:
        _log.warning("this host has no address that is valid beyond its own link")


def _log_buffers(sockets: RawSockets) -> None:
    if (size := sockets.receive_buffer()) < RECEIVE_BUFFER:
        _log.info(
            "receive buffers are small: answers of large bursts may be lost",
            bytes=size,
            remedy=f"set net.core.rmem_max={RECEIVE_BUFFER} on the host, or start the agent with "
            "CAP_NET_ADMIN too",
        )


class _Stop:
    """The first and the second signal to stop.

    SIGHUP stops a program whose terminal has hung up; without a terminal it reloads certificates.
    """

    def __init__(self, *, renew: Callable[[], None]) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.renamed = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told)
        hung_up = sys.stdin is not None and sys.stdin.isatty()
        loop.add_signal_handler(signal.SIGHUP, self._told if hung_up else renew)

    def rename(self) -> None:
        """Stop, to go on under another name."""
        self.renamed = self.renamed or not self.first.is_set()
        self.first.set()

    def _told(self) -> None:
        self.renamed = False
        if self.first.is_set():
            self.second.set()
        self.first.set()
