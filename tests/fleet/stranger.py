"""A client of the broker that is neither agent nor coordinator: it publishes and looks by hand."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiomqtt import Client, ProtocolVersion
from colotrace_proto.bus import ALL_AGENTS, Process, process_of
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import (
    AgentId,
    ColoName,
    Family,
    Hello,
    PacketType,
    Presence,
)
from colotrace_proto.published import decode_presence, encode_presence
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleet.broker import Broker

_QUIET_S = 0.3


@asynccontextmanager
async def stranger(broker: Broker) -> AsyncIterator[Client]:
    """Connected to the broker."""
    async with Client(
        broker.host, broker.port, protocol=ProtocolVersion.V5, max_queued_incoming_messages=10_000
    ) as client:
        client.pending_calls_threshold = 10_000
        yield client


def presence(
    colo: str, agent_id: str, *, boot_id: bytes | None = None, started_ms: int | None = None
) -> tuple[str, bytes]:
    """The topic and payload of an agent that says that it is there, just started."""
    hello = Hello(
        agent_id=AgentId(agent_id),
        boot_id=boot_id or secrets.token_bytes(16),
        colo=ColoName(colo),
        city="Nowhere",
        families=frozenset(Family),
        packet_types=frozenset(PacketType),
        software_version="0",
        max_jobs=100,
    )
    started_ms = time.time_ns() // 1_000_000 if started_ms is None else started_ms
    topic = Process(hello.colo, hello.agent_id, hello.boot_id).presence
    return topic, encode_presence(Presence(hello, started_ms))


async def keep(client: Client, topic: str, payload: bytes, *, for_s: int | None = None) -> None:
    """Has the broker keep it, until it expires if that is said."""
    properties: Any = None
    if for_s is not None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = for_s
    await client.publish(topic, payload, qos=1, retain=True, properties=properties)


async def present(broker: Broker) -> dict[Process, Presence]:
    """Who is there by what the broker keeps."""
    known: dict[Process, Presence] = {}
    async with stranger(broker) as client:
        await client.subscribe(ALL_AGENTS)
        with suppress(TimeoutError):
            while True:
                message = await asyncio.wait_for(anext(client.messages), _QUIET_S)
                process = process_of(message.topic.value)
                if process is not None and isinstance(message.payload, bytes) and message.payload:
                    with suppress(ProtocolError):
                        known[process] = decode_presence(message.payload)
    return known
