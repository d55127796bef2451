"""Hostile messages of the broker, to a coordinator that follows a measurement and to its runner."""

import random
import zlib
from typing import Any

import msgspec
from colotrace_coordinator.live.feed import Kind
from colotrace_coordinator.peers.relay.runner import MAX_SESSIONS
from colotrace_proto import bus
from eventually import until
from fleet import Broker
from fleet.stranger import stranger
from integration.coordinator.links.mqtt.at_broker import Coordinator
from integration.coordinator.links.mqtt.test_relayed import followed, here, other, until_same
from unit.coordinator.peers.relay.between import ACCOUNT, ID, Here, finished

__all__ = ["here", "other"]

MESSAGES = 1_500
_LATER = msgspec.msgpack.encode([[1, "later", 1, b"{}"]])
_DATA = [b"", bytes(50), zlib.compress(bytes(4 << 20)), zlib.compress(_LATER)]
# Without `cancel`: a client with a coordinator's rights at the broker is allowed to cancel.
_KINDS = ["follow", "follow", "leave", "part", "ended", "cancelled", "echo", "later", 3, None]


def hostile(draw: random.Random, origins: list[str]) -> bytes:
    """A message of which much is plausible, with fields missing, or cut off."""
    message: dict[str, Any] = {
        "kind": draw.choice(_KINDS),
        "origin": draw.choice([*origins, f"{draw.getrandbits(128):032x}"]),
        "session": draw.choice([draw.getrandbits(63), 1, -1, 2**64 - 1, "x"]),
        "account": draw.choice([ACCOUNT, "another", "", "x" * 300, None]),
        "id": draw.choice([ID, "f" * 32, "x"]),
        "position": draw.choice([0, 5, 2**63 - 1, -1]),
        "round": draw.choice([0, 1, draw.getrandbits(62)]),
        "count": draw.choice([0, 1, 2**40]),
        "piece": draw.choice([0, 1, 268, 10**6]),
        "pieces": draw.choice([1, 2, 268, 0]),
        "data": draw.choice(_DATA),
    }
    for name in draw.sample(sorted(message), draw.choice([0, 0, 0, 1, 3])):
        del message[name]
    content = msgspec.msgpack.encode(message)
    return content[: draw.randrange(len(content))] if draw.random() < 0.25 else content


async def test_flood_of_hostile_messages_does_not_disturb_a_followed_measurement(
    broker: Broker, here: Here, coordinator: Coordinator, other: Coordinator
) -> None:
    feed = await followed(other)
    end = feed.listen(lambda: None)
    draw = random.Random(1)
    origins = [coordinator.peers.origin, other.peers.origin]
    topics = [bus.ALL_COORDINATORS, bus.COORDINATORS, *map(bus.coordinator, origins)]
    async with stranger(broker) as client:
        for number in range(MESSAGES):
            await client.publish(draw.choice(topics), hostile(draw, origins), qos=1)
            if number % 100 == 0:
                here.feed.put(Kind.ROW, finished(number), row=number)
    name = "colotrace_broker_invalid_messages_total"
    await until(lambda: min(each.number(name) for each in (coordinator, other)) > MESSAGES / 4)
    assert coordinator.number("colotrace_measurements_served") <= MAX_SESSIONS
    await until_same(feed, here.feed)
    assert not feed.ended
    assert await followed(other) is feed
    end()
