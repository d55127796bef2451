"""Whether the broker lets this agent in."""

import asyncio
import secrets
import time

from aiomqtt import MqttError
from colotrace_proto import bus
from colotrace_proto.bus import Broker
from colotrace_proto.findings import Finding, fail, ok
from colotrace_proto.messages import ColoName
from colotrace_proto.mqtt import connection, refusal, remedy_of, subscribe
from colotrace_proto.running import RunningClock

from .uplink import Uplink


def findings(uplink: Uplink, colo: ColoName) -> list[Finding]:
    """Connect with an identity of its own, and ask for the colo's cancellations."""
    if uplink.broker is None:
        return []
    return asyncio.run(_look(uplink, uplink.broker, colo))


async def _look(uplink: Uplink, broker: Broker, colo: ColoName) -> list[Finding]:
    check = f"broker {broker}"
    clock = RunningClock()
    began = time.monotonic()
    connected = False
    try:
        identifier = f"colotrace-check-{secrets.token_hex(4)}"
        async with connection(
            broker, tls=uplink.broker_tls, identifier=identifier, clock=clock
        ) as client:
            connected, took_s = True, time.monotonic() - began
            if colo:
                await subscribe(client, bus.cancels(colo))
    except MqttError as error:
        reason = refusal(error)
        if connected:
            remedy = "give its user the rights of an agent of this colo (docs/scaling.md, Access)"
            return [fail(check, reason, remedy)]
        return [fail(check, f"cannot be used: {reason}", remedy_of(reason))]
    finally:
        clock.close()
    return [ok(check, f"lets this agent in after {took_s * 1e3:.0f} ms")]
