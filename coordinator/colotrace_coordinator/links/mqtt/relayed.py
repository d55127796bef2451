"""Measurements between coordinators, through the broker (ADR 19)."""

import asyncio

from aiomqtt import Client, MqttError
from colotrace_proto import bus
from colotrace_proto.mqtt import expiring, subscribe
from colotrace_proto.running import RunningClock
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.peers.relay.relay import Relay

ECHO_WITHIN_S = 3.0
"""A message that has not come back by then is one that the broker does not pass on."""
_EXPIRY_S = 4
_BATCH = 4
"""Messages that are published before other tasks run: their events are compressed."""


async def relay_measurements(
    client: Client, relay: Relay, *, clock: RunningClock, log: FilteringBoundLogger
) -> None:
    """Publish the messages of this coordinator until cancelled; those of the others arrive among
    the client's messages.

    A broker whose access rights are older refuses them, or drops them in silence. Then each
    coordinator shows its own running measurements only, and this is logged.

    Raises:
        MqttError: the connection is lost.
    """
    try:
        for topic in (bus.ALL_COORDINATORS, bus.coordinator(relay.origin)):
            await subscribe(client, topic)
    except MqttError as error:
        _log_alone(log, str(error))
        await asyncio.Event().wait()  # if the connection was lost, the receiver raises
    relay.connected()
    missing_at = clock.now() + ECHO_WITHIN_S
    published = 0
    try:
        while True:
            for topic, payload in relay.to_send():
                # QoS 0: a message that was lost is noticed, and asked for again.
                await client.publish(topic, payload, qos=0, properties=expiring(_EXPIRY_S))
                published += 1
                if published % _BATCH == 0:
                    await asyncio.sleep(0)
            if not relay.echoed and clock.now() > missing_at:
                missing_at = float("inf")
                _log_alone(log, "a message of this coordinator did not come back")
            await relay.due()
    finally:
        relay.disconnected()


def _log_alone(log: FilteringBoundLogger, detail: str) -> None:
    log.warning(
        "measurements_not_relayed",
        detail=detail,
        remedy=f"let coordinators publish and read {bus.coordinator('+')}: deploy/mqtt/access",
    )
