"""Reports between coordinators, through the broker (ADR 17)."""

import asyncio

from aiomqtt import Client, MqttError
from colotrace_proto import bus
from colotrace_proto.mqtt import expiring, subscribe
from colotrace_proto.running import RunningClock
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.peers.peers import REPORT_EVERY_S, Peers

ECHO_WITHIN_S = 3.0
"""A report that has not come back by then is one that the broker does not pass on."""
_EXPIRY_S = 2


async def exchange_reports(
    client: Client, peers: Peers, *, clock: RunningClock, log: FilteringBoundLogger
) -> None:
    """Publish the reports of this coordinator until cancelled; those of the others arrive among
    the client's messages.

    A broker whose access rights are older than reports refuses them, or drops them in silence. Jobs
    are not affected, so this is logged only.

    Raises:
        MqttError: the connection is lost.
    """
    try:
        await subscribe(client, bus.COORDINATORS)
    except MqttError as error:
        _log_alone(log, str(error))
        await asyncio.Event().wait()  # if the connection was lost, the receiver raises
    peers.connected()
    missing_at = clock.now() + ECHO_WITHIN_S
    while True:
        for report in peers.to_send(clock.now()):
            await client.publish(bus.COORDINATORS, report, qos=0, properties=expiring(_EXPIRY_S))
        if not peers.echoed and clock.now() > missing_at:
            missing_at = float("inf")
            _log_alone(log, "a report of this coordinator did not come back")
        await asyncio.sleep(REPORT_EVERY_S)


def _log_alone(log: FilteringBoundLogger, detail: str) -> None:
    log.warning(
        "limits_counted_alone",
        detail=detail,
        remedy=f"let coordinators publish and read {bus.COORDINATORS}: deploy/mqtt/access",
    )
