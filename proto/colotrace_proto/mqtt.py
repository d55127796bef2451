"""The connection to an MQTT 5 broker, used by both programs."""

import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiomqtt import Client, MqttError, ProtocolVersion, Will
from paho.mqtt import client as paho
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from .bus import KEEPALIVE_S, Broker, BrokerUrlError, broker_of
from .published import MAX_PUBLISHED
from .running import RunningClock
from .tasks import running_loop

_ANSWER_S = 2.0
# The payload, with room for the topic and the properties.
_LARGEST_PACKET = MAX_PUBLISHED + 1_024
_MOST_QUEUED = 20_000
# paho's reason code for a connection that ended without a DISCONNECT.
_UNSPECIFIED = 0x80
_HUNG_UP = (
    "it closed the connection before it answered: it is stopping, only one side uses TLS, or it "
    "refuses our certificate"
)

_T = TypeVar("_T")

_log = logging.getLogger("colotrace.mqtt")
_log.addHandler(logging.NullHandler())
_log.propagate = False  # the same faults are raised as errors


class BrokerOptionsError(ValueError):
    """The broker options of a command line are invalid; the text has the reason and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTls:
    """PEM files for a broker over TLS: the CA of its certificate (None: the system's CAs), and our
    client certificate and key, which are optional."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self, broker: Broker) -> ssl.SSLContext:
        """The TLS context of a connection to the broker.

        Raises:
            BrokerOptionsError: a file cannot be read or is invalid.
        """
        what = str(self.authority)
        try:
            context = ssl.create_default_context(cafile=self.authority)
            if self.certificate is not None:
                what = f"{self.certificate} or its key"
                # An empty password, so that OpenSSL refuses an encrypted key instead of prompting.
                context.load_cert_chain(self.certificate, self.key, password="")
        except OSError as error:
            words = error.strerror or str(error)
            if isinstance(error, ssl.SSLError):
                words = "not PEM, or the key is another's or has a password"
            raise BrokerOptionsError(f"--mqtt {broker}: {what}: {words}") from error
        return context


def broker_from_options(
    url: str, files: BrokerTls, *, insecure: bool
) -> tuple[Broker, ssl.SSLContext | None]:
    """The broker of `--mqtt` and the TLS context for it; `insecure` allows a broker without TLS.

    Raises:
        BrokerOptionsError: the options are invalid. The text does not contain the password.
    """
    try:
        broker = broker_of(url)
    except BrokerUrlError as error:
        raise BrokerOptionsError(
            f"--mqtt: {error}; give mqtts://[USER:PASSWORD@]HOST[:PORT]"
        ) from None
    if broker.tls:
        return broker, files.context(broker)
    if not insecure:
        raise BrokerOptionsError(
            f"--mqtt {broker}: passwords and jobs would be sent unencrypted; give mqtts://, or "
            "--insecure on a network that you trust"
        )
    return broker, None


class _Client(Client):
    """A client whose waits always end.

    aiomqtt uses `asyncio.wait_for`, which in Python 3.11 loses a cancellation that coincides with
    the result. And aiomqtt does not notice a broker that closes the connection before CONNACK.
    """

    clock: RunningClock

    def _on_disconnect(self, *given: Any, **named: Any) -> None:
        if self._connected.done():
            super()._on_disconnect(*given, **named)
            return
        self._connected.set_exception(MqttError(_HUNG_UP))
        self._connected.exception()  # a cancelled caller never reads it, and asyncio would warn

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Write immediately, which mostly succeeds. aiomqtt first registers a writer with the loop,
        which takes half of the time of a publication."""
        if running_loop() is self._loop:  # a thread makes the connection
            try:
                client.loop_write()
            except Exception as error:  # noqa: BLE001 - as in aiomqtt: the connection is lost
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)
                return
            if client.socket() is None or not client.want_write():
                return
        super()._on_socket_register_write(client, userdata, sock)

    async def _wait_for(self, fut: Awaitable[_T], timeout: float | None) -> _T:  # noqa: ASYNC109
        try:
            async with self.clock.timeout(_ANSWER_S if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise MqttError("Operation timed out") from None


@asynccontextmanager
async def connection(
    broker: Broker,
    *,
    tls: ssl.SSLContext | None,
    identifier: str,
    clock: RunningClock,
    will: str | None = None,
) -> AsyncIterator[Client]:
    """A client that is connected while entered. `identifier` is the client id. `will` is the topic
    whose retained message the broker deletes if the connection is lost.

    Raises:
        MqttError: no connection can be made. A later loss is raised by operations on the client.
    """
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = _LARGEST_PACKET
    client = _Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        identifier=identifier,
        protocol=ProtocolVersion.V5,
        clean_start=MQTT_CLEAN_START_FIRST_ONLY,
        keepalive=KEEPALIVE_S,
        timeout=_ANSWER_S,
        will=None if will is None else Will(will, payload=b"", qos=1, retain=True),
        properties=properties,
        tls_context=tls,
        max_queued_incoming_messages=_MOST_QUEUED,
        max_queued_outgoing_messages=_MOST_QUEUED,
        # Jobs are small and urgent.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=_log,
    )
    client.pending_calls_threshold = _MOST_QUEUED
    client.clock = clock
    # aiomqtt has no settings for two things: the timeout of the TCP connection, and closing a
    # connection that got no CONNACK in time, which could otherwise succeed beside a new one.
    inner = client._client  # noqa: SLF001
    inner.connect_timeout = _ANSWER_S
    try:
        await client.__aenter__()
    except BaseException:
        # The connecting thread may still run; closing the client closes its socket.
        inner.on_disconnect = inner.on_socket_open = None
        if client._misc_task is None:  # noqa: SLF001
            inner.on_socket_close = None
        inner.disconnect()
        raise
    try:
        yield client
    finally:
        # Ignore disconnect errors; the original exception matters.
        with suppress(MqttError):
            await client.__aexit__(None, None, None)
        lost = client._disconnected  # noqa: SLF001
        if lost.done() and not lost.cancelled():
            lost.exception()  # mark it as retrieved, or asyncio warns


async def subscribe(client: Client, topic: str) -> None:
    """Subscribe with QoS 0: brokers bound the number of unacknowledged messages of QoS 1.

    Raises:
        MqttError: the broker refuses, or the connection is lost.
    """
    for code in await client.subscribe(topic, qos=0):
        if isinstance(code, ReasonCode) and code.is_failure:
            raise MqttError(f"it does not let us read {topic}: {code}")


def expiring(seconds: int) -> Properties:
    """Properties of a message that expires after `seconds`."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = seconds
    return properties


def refusal(error: MqttError) -> str:
    """The reason why there is no connection, in words."""
    cause = error.__cause__ or error
    code = getattr(cause, "rc", None)
    if getattr(code, "value", code) == _UNSPECIFIED:
        return "it was lost"
    return str(cause) or type(cause).__name__


def remedy_of(reason: str) -> str:
    """What to do if there is no connection, for a reason of `refusal`."""
    if "ertificate" in reason or "TLS" in reason or "SSL" in reason:
        return "check --mqtt-ca, the name in the URL, and that the port speaks TLS"
    if "uthori" in reason or "password" in reason:
        return "check user and password in the URL, or the client's certificate, at the broker"
    return "check host and port of --mqtt, that the broker runs, and firewalls between"
