"""What is to be published, in order, as soon as the broker takes it."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from colotrace_proto.messages import Cancel, Job
from colotrace_proto.mqtt import Client, expiring
from colotrace_proto.published import encode_published

_MOST = 10_000
_WITHOUT_A_BREAK = 20
_CANCEL_EXPIRY_S = 30


class Outgoing:
    """Jobs and cancels that wait, for as long as their time lasts; what is too much is dropped,
    and a job so dropped is one that nobody answers."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: deque[tuple[str, Job | Cancel, float]] = deque()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, topic: str, message: Job | Cancel) -> None:
        """To be published."""
        if len(self._waiting) < _MOST:
            self._waiting.append((topic, message, self._clock()))
            self._wake.set()

    def clear(self) -> None:
        """What waits is no longer wanted."""
        self._waiting.clear()

    async def publish_all(self, client: Client) -> None:
        """Publishes what there is and what comes, until cancelled.

        Raises:
            MqttError: the broker takes no more.
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
                # Once at most: who accepts nothing within a moment is not asked again by a broker.
                await client.publish(topic, payload, qos=0, properties=expiring(expiry_s))
                published += 1
                if published % _WITHOUT_A_BREAK == 0:
                    await asyncio.sleep(0)  # a broker that takes them all would keep us here
