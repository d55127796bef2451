"""A runner and followers with a broker between them, in virtual time."""

import json
from collections import Counter
from collections.abc import Callable

from colotrace_coordinator.live.feed import Event, Feed, Kind
from colotrace_coordinator.peers.relay.follower import Follower, Mirror
from colotrace_coordinator.peers.relay.messages import Cancel, Follow, Leave, Message, decode
from colotrace_coordinator.peers.relay.runner import Runner

ACCOUNT, OTHER_ACCOUNT = "acc", "another"
ID = "0190f0f0f0f07000800000000000000a"
TICK_S = 0.0625
"""A step of the time; longer than `SEND_EVERY_S`."""
RUNNER, FOLLOWERS = "a" * 32, ("b" * 32, "c" * 32)


def hops(row: int, *ttls: int, text: str = "", fresh: bool = False) -> bytes:
    """The data of an event with hops."""
    shown = [{"packets_ttl": ttl, "nodes": [text]} for ttl in ttls]
    return json.dumps({"target": 0, "colo": row, "hops": shown, "fresh": fresh}).encode()


def finished(row: int, size: int = 10) -> bytes:
    """The data of a row that has ended; its size cannot be reduced much."""
    text = "".join(f"{(row * 7919 + n) * 2654435761 % 2**32:08x}" for n in range(size // 8))
    return json.dumps({"target": 0, "colo": row, "row": text}).encode()


class Here:
    """The measurements of the runner: one."""

    def __init__(self) -> None:
        self.feed = Feed()
        self.cancelled: list[str] = []
        self.asked = 0

    def feed_here(self, account_id: str, measurement_id: str) -> Feed | None:
        self.asked += 1
        return self.feed if (account_id, measurement_id) == (ACCOUNT, ID) else None

    def cancel_here(self, account_id: str, measurement_id: str) -> bool:
        if (account_id, measurement_id) != (ACCOUNT, ID) or self.cancelled:
            return False
        self.cancelled.append(measurement_id)
        return True


class World:
    """Passes messages on, except those that `loses` says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.here = Here()
        self.dropped: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.runner = Runner(RUNNER, dropped=self.drop, wake=lambda: None)
        self.runner.local = self.here
        self.followers = {
            o: Follower(o, dropped=self.drop, unknown=self.unknown.append) for o in FOLLOWERS
        }
        self.loses: Callable[[Message], bool] = lambda _: False
        self.dead = False
        self.sent: list[tuple[str, Message]] = []
        """All messages, with whom they are from."""

    def drop(self, reason: str) -> None:
        self.dropped[reason] += 1

    @property
    def follower(self) -> Follower:
        return self.followers[FOLLOWERS[0]]

    def follow(self, origin: str = FOLLOWERS[0]) -> Mirror:
        mirror = self.followers[origin].follow(ACCOUNT, ID, self.now)
        assert mirror is not None
        return mirror

    def followed(self) -> Mirror:
        """The mirror of a measurement that has begun, with its events so far."""
        fill(self.here.feed)
        mirror = self.follow()
        self.run()
        return mirror

    def watched(self) -> Mirror:
        """A mirror that has just been asked for, with a listener; it has no events yet."""
        fill(self.here.feed)
        mirror = self.follow()
        mirror.feed.listen(lambda: None)
        return mirror

    def run(self, seconds: float = TICK_S) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TICK_S)):
            for origin, follower in self.followers.items():
                follower.expire(self.now)
                for _, payload in follower.to_send(self.now):
                    message = self._carry(origin, payload)
                    if message is not None and not self.dead:
                        assert isinstance(message, Follow | Leave | Cancel)
                        self.runner.heard(message, self.now, addressed=False)
            self.runner.expire(self.now)
            if not self.dead:
                for to, payload in list(self.runner.to_send(self.now)):
                    message = self._carry(RUNNER, payload)
                    if message is not None:
                        assert not isinstance(message, Follow | Leave | Cancel)
                        self.followers[to].heard(message, self.now)  # type: ignore[arg-type]
            self.now += TICK_S

    def _carry(self, origin: str, payload: bytes) -> Message | None:
        message = decode(payload)
        assert message is not None
        self.sent.append((origin, message))
        return None if self.loses(message) else message

    def number(self, kind: type[Message]) -> int:
        """How many messages of this kind were sent."""
        return sum(isinstance(message, kind) for _, message in self.sent)


def all_of(feed: Feed) -> list[Event]:
    return feed.events(0, most=100_000)


def fill(feed: Feed, rows: int = 3) -> None:
    """A measurement's beginning."""
    feed.put(Kind.START, b'{"measurement":{}}')
    for row in range(rows):
        feed.put(Kind.HOPS, hops(row, 1, 2), row=row)
