"""Whether the broker lets this coordinator in, and carries its messages."""

import asyncio
import secrets
import time

from aiomqtt import MqttError
from colotrace_proto import bus
from colotrace_proto.findings import Finding, fail, ok, warn
from colotrace_proto.mqtt import connection, expiring, refusal, remedy_of, subscribe
from colotrace_proto.running import RunningClock

from colotrace_coordinator.links.mqtt.choose import BrokerSettings

_ECHO_S = 2.0
_RIGHTS = (
    "give its user the rights of a coordinator (docs/scaling.md, Access; deploy/mqtt has examples)"
)


def findings(settings: BrokerSettings) -> list[Finding]:
    """Connect, and exchange a message that only this check gets."""
    return asyncio.run(_look(settings))


async def _look(settings: BrokerSettings) -> list[Finding]:
    check, broker = f"broker {settings.broker}", settings.broker
    # An identity of its own: the coordinator's connection is left alone.
    process = secrets.token_hex(16)
    clock = RunningClock()
    began = time.monotonic()
    connected = False
    try:
        async with connection(
            broker, tls=settings.tls, identifier=f"colotrace-doctor-{process[:8]}", clock=clock
        ) as client:
            connected, took_s = True, time.monotonic() - began
            await subscribe(client, bus.ALL_AGENTS)
            topic = bus.coordinator(process)
            await subscribe(client, topic)
            await client.publish(topic, b"", qos=1, properties=expiring(1))
            try:
                async with asyncio.timeout(_ECHO_S):
                    async for message in client.messages:
                        if str(message.topic) == topic:
                            break
            except TimeoutError:
                return [
                    warn(check, f"lets us in, but not write or read {bus.COORDINATORS}/+", _RIGHTS)
                ]
    except MqttError as error:
        reason = refusal(error)
        if connected:
            return [fail(check, reason, _RIGHTS)]
        return [fail(check, f"cannot be used: {reason}", remedy_of(reason))]
    finally:
        clock.close()
    return [ok(check, f"lets us in after {took_s * 1e3:.0f} ms, and carries messages")]
