"""A program's connection to its MQTT 5 broker, on both sides the same."""

import logging
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from aiomqtt import Client, MqttError, ProtocolVersion, Will
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .bus import KEEPALIVE_S, Broker
from .codec import MAX_PUBLISHED

__all__ = ["BrokerTls", "Client", "MqttError", "TlsError", "connection", "expiring", "refusal"]

_CONNECT_S = 2.0
# A topic and what goes with a message are beside its payload.
_LARGEST_PACKET = MAX_PUBLISHED + 1_024
_MOST_QUEUED = 20_000

_log = logging.getLogger("colotrace.mqtt")
_log.addHandler(logging.NullHandler())
_log.propagate = False  # what it has to say comes as errors, too


class TlsError(ValueError):
    """The certificates cannot be used, and why in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTls:
    """PEM files for a broker over TLS: who may have signed its certificate (the system's
    authorities where that is None), and our own certificate and key, if it asks for one."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """What a connection is made with.

        Raises:
            TlsError: a file cannot be read or does not hold what it should.
        """
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except OSError as error:
            raise TlsError(f"{self.authority}: {_words(error)}") from error
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key)
            except OSError as error:
                raise TlsError(f"{self.certificate} or its key: {_words(error)}") from error
        return context


def connection(
    broker: Broker, *, tls: ssl.SSLContext | None, identifier: str, will: str | None = None
) -> Client:
    """A connection, made where it is entered (`async with`), for one time.

    `identifier` is the client's; `will` is the topic whose retained message is taken away when the
    broker hears no more of us. Entering raises `MqttError`.
    """
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = _LARGEST_PACKET
    client = Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        identifier=identifier,
        protocol=ProtocolVersion.V5,
        clean_start=MQTT_CLEAN_START_FIRST_ONLY,
        keepalive=KEEPALIVE_S,
        timeout=_CONNECT_S,
        will=None if will is None else Will(will, payload=b"", qos=1, retain=True),
        properties=properties,
        tls_context=tls,
        max_queued_incoming_messages=_MOST_QUEUED,
        max_queued_outgoing_messages=_MOST_QUEUED,
        # Jobs are small, and wait for nothing.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=_log,
    )
    client.pending_calls_threshold = _MOST_QUEUED
    return client


def expiring(seconds: int) -> Properties:
    """For a message that the broker is to drop after that time."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = seconds
    return properties


def refusal(error: MqttError) -> str:
    """Why there is no connection, in words."""
    cause = error.__cause__ or error
    return str(cause) or type(cause).__name__


def _words(error: OSError) -> str:
    return error.strerror or str(error)
