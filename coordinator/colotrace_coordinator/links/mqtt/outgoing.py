"""The queue of messages to publish, in order, as fast as the broker takes them."""

import asyncio
import math
from collections import deque
from collections.abc import Callable

from aiomqtt import Client
from colotrace_proto.messages import Cancel, Job, Renamed
from colotrace_proto.mqtt import expiring
from colotrace_proto.published import encode_published
from msgspec.structs import replace

MAX_QUEUED = 10_000
_BATCH = 20
"""Messages that are published before other tasks run."""
_CANCEL_EXPIRY_S = 30


class Outgoing:
    """A bounded queue of jobs and cancellations. Jobs expire in it; what exceeds the bound is
    dropped. A dropped job is one that no agent answers."""

    def __init__(self, *, clock: Callable[[], float], most: int = MAX_QUEUED) -> None:
        self._clock = clock
        self._most = most
        self._waiting: deque[tuple[str, Job | Cancel | Renamed, float]] = deque()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, topic: str, message: Job | Cancel | Renamed) -> None:
        """Queue a message; it is dropped if the queue is full."""
        if len(self._waiting) < self._most:
            self._waiting.append((topic, message, self._clock()))
            self._wake.set()

    def clear(self) -> None:
        """Drop all messages."""
        self._waiting.clear()

    async def publish_all(self, client: Client) -> None:
        """Publish all messages, present and later ones, until cancelled.

        Raises:
            MqttError: the connection to the broker ended.
        """
        published = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                topic, message, at = self._waiting.popleft()
                expiry_s = _CANCEL_EXPIRY_S
                if isinstance(message, Job):
                    left_ms = message.remaining_ms - round((self._clock() - at) * 1e3)
                    if left_ms <= 0:
                        continue
                    message = replace(message, remaining_ms=left_ms)
                    expiry_s = math.ceil(left_ms / 1e3)
                payload = encode_published(message)
                # QoS 0: an offer that was lost is repeated by its job, not by the broker.
                await client.publish(topic, payload, qos=0, properties=expiring(expiry_s))
                published += 1
                if published % _BATCH == 0:
                    await asyncio.sleep(0)  # a fast broker must not starve other tasks
