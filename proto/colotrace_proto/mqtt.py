"""A program's connection to its MQTT 5 broker, on both sides the same."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiomqtt import Client, Message, MqttError, ProtocolVersion, Will
from paho.mqtt import client as paho
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from .bus import KEEPALIVE_S, Broker, BrokerUrlError, broker_of
from .published import MAX_PUBLISHED
from .running import RunningClock

__all__ = [
    "BrokerTls",
    "ChoiceError",
    "Client",
    "Message",
    "MqttError",
    "TlsError",
    "chosen",
    "connection",
    "expiring",
    "first_of",
    "refusal",
    "subscribe",
]

_ANSWER_S = 2.0
# A topic and what goes with a message are beside its payload.
_LARGEST_PACKET = MAX_PUBLISHED + 1_024
_MOST_QUEUED = 20_000
# What paho calls it when a connection ends without a word.
_UNSPECIFIED = 0x80
_HUNG_UP = (
    "it hung up before it answered: it is stopping, TLS is on one side only, or it does not take "
    "our certificate"
)

_T = TypeVar("_T")

_log = logging.getLogger("colotrace.mqtt")
_log.addHandler(logging.NullHandler())
_log.propagate = False  # what it has to say comes as errors, too


class ChoiceError(ValueError):
    """What a command line says of the broker cannot be used: why, and what to give instead."""


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
                # A key with a password is refused: nobody is there to be asked for it.
                context.load_cert_chain(self.certificate, self.key, password="")
            except OSError as error:
                raise TlsError(f"{self.certificate} or its key: {_words(error)}") from error
        return context


def chosen(url: str, files: BrokerTls, *, insecure: bool) -> tuple[Broker, ssl.SSLContext | None]:
    """The broker that `--mqtt` names, and what to reach it with; `insecure` allows it in the clear.

    Raises:
        ChoiceError: it cannot be used. What is said does not hold the password.
    """
    try:
        broker = broker_of(url)
    except BrokerUrlError as error:
        raise ChoiceError(f"--mqtt: {error}; give mqtts://[USER:PASSWORD@]HOST[:PORT]") from None
    if broker.tls:
        try:
            return broker, files.context()
        except TlsError as error:
            raise ChoiceError(f"--mqtt {broker}: {error}") from error
    if not insecure:
        raise ChoiceError(
            f"--mqtt {broker}: passwords and jobs could be read on the way; give mqtts://, or "
            "--insecure on a network that you trust"
        )
    return broker, None


class _Client(Client):
    """One whose waiting always ends: when it is cancelled, which `asyncio.wait_for` of Python 3.11,
    that aiomqtt takes, forgets where the answer comes in the same moment; and when the broker hangs
    up before it has answered at all."""

    clock: RunningClock

    def _on_disconnect(self, *given: Any, **named: Any) -> None:
        if self._connected.done():
            super()._on_disconnect(*given, **named)
            return
        self._connected.set_exception(MqttError(_HUNG_UP))
        self._connected.exception()  # else asyncio says, of one that is cancelled, it was not seen

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        """Writes at once what there is to be written, which the socket mostly takes: aiomqtt asks
        the loop to watch for that first, which costs as much as all else of a publication."""
        if _runs(self._loop):  # not so while a connection is made, in a thread
            try:
                client.loop_write()
            except Exception as error:  # noqa: BLE001 - as aiomqtt does: it is lost
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
    """At the broker, while entered. `identifier` is the client's; `will` is the topic whose
    retained message is taken away when the broker hears no more of us.

    Raises:
        MqttError: there is no connection. One that is lost is told of by what is done with it.
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
        # Jobs are small, and wait for nothing.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=_log,
    )
    client.pending_calls_threshold = _MOST_QUEUED
    client.clock = clock
    # What aiomqtt has no words for: how long a host may take to be there at all, and to let go of
    # a broker that has not answered in time, which would have us there twice when it does.
    inner = client._client  # noqa: SLF001
    inner.connect_timeout = _ANSWER_S
    try:
        await client.__aenter__()
    except BaseException:
        # The thread that connects may still run; what it opens is closed with the client.
        inner.on_disconnect = inner.on_socket_open = None
        if client._misc_task is None:  # noqa: SLF001
            inner.on_socket_close = None
        inner.disconnect()
        raise
    try:
        yield client
    finally:
        # What has ended it counts, being cancelled too: not that a broker takes no leave of us.
        with suppress(MqttError):
            await client.__aexit__(None, None, None)
        lost = client._disconnected  # noqa: SLF001
        if lost.done() and not lost.cancelled():
            lost.exception()  # else asyncio says that nobody has looked at it


def _runs(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Does these at the same time until one of them ends, and comes to what that one does."""
    tasks = [asyncio.create_task(work, name=getattr(work, "__qualname__", "")) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def subscribe(client: Client, topic: str) -> None:
    """At most once: of what waits to be acknowledged, brokers keep only so much.

    Raises:
        MqttError: the broker does not let us, or is lost.
    """
    for code in await client.subscribe(topic, qos=0):
        if isinstance(code, ReasonCode) and code.is_failure:
            raise MqttError(f"it does not let us read {topic}: {code}")


def expiring(seconds: int) -> Properties:
    """For a message that the broker is to drop after that time."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = seconds
    return properties


def refusal(error: MqttError) -> str:
    """Why there is no connection, in words."""
    cause = error.__cause__ or error
    code = getattr(cause, "rc", None)
    if getattr(code, "value", code) == _UNSPECIFIED:
        return "it was lost"
    return str(cause) or type(cause).__name__


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "not PEM, or the key is another's or has a password"
    return error.strerror or str(error)
