"""The links to agents: gRPC, and the broker if there is one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from colotrace_coordinator.enrolment.own_certificate import OwnCertificate
from colotrace_coordinator.fleet.link import FleetEvents
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.links.direct.tls import TlsFiles, TlsSource
from colotrace_coordinator.metrics import BrokerMetrics

from .base import Base
from .enrolling import Enrolling

if TYPE_CHECKING:
    from colotrace_coordinator.links.mqtt.choose import BrokerSettings
    from colotrace_coordinator.links.mqtt.link import MqttLink

log = structlog.get_logger("colotrace_coordinator")


@dataclass(frozen=True, slots=True)
class Links:
    """The links to agents. `bus` is None without a broker."""

    direct: DirectLink
    bus: "MqttLink | None"
    renew_at_broker: Callable[[], None] | None
    """Use a new certificate at the broker from the next connection on; None if it is from files."""


def build_links(base: Base, events: FleetEvents, enrolling: Enrolling | None) -> Links:
    """The links, which report to `events`."""
    settings, bus, renew = base.settings, None, None
    if settings.mqtt is not None:
        from colotrace_coordinator.links.mqtt.link import MqttLink  # needs the extra `mqtt`

        bus = MqttLink(
            events,
            settings.mqtt.broker,
            tls=settings.mqtt.tls,
            metrics=BrokerMetrics(base.numbers),
            log=log,
            clock=base.clock,
            peers=base.peers,
            relay=base.relay,
            enrolled=enrolling.known if enrolling is not None else None,
        )
        if enrolling is not None and settings.mqtt.tls and not settings.mqtt.has_certificate:
            renew = partial(certify, bus, settings.mqtt, enrolling.certificate)
            renew()
    tls: TlsSource | None = None
    if enrolling is not None:
        tls = enrolling.certificate
    elif settings.tls is not None and settings.tls.agent_ca is not None:
        tls = TlsFiles(
            certificate=settings.tls.certificate,
            key=settings.tls.key,
            client_authority=settings.tls.agent_ca,
        )
    direct = DirectLink(
        bus or events,
        host=settings.grpc.host or "::",
        port=settings.grpc.port,
        tls=tls,
        log=log,
        clock=base.clock,
        turns=base.turns,
        enrolled=enrolling.known if enrolling is not None else None,
        renames=bus is None,
    )
    if bus is not None:
        bus.answered_by(direct)
    return Links(direct, bus, renew)


def certify(bus: "MqttLink", settings: "BrokerSettings", certificate: OwnCertificate) -> None:
    """Use a new certificate at the broker. The context is new, too: the former one would go on to
    trust a CA that was retired."""
    context = settings.context()
    certificate.load_client(context)
    bus.use(context)
