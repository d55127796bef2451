"""Measurements that run at other coordinators, followed and cancelled by the broker (ADR 19).

`Runner` answers the others, `Follower` asks them; both are pure. This class passes messages of the
broker to them, and lets requests wait for what comes of it. `links.mqtt` carries the messages.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from colotrace_proto import bus
from colotrace_proto.running import RunningClock
from structlog import get_logger

from colotrace_coordinator.live.feed import RECORDED, Feed
from colotrace_coordinator.metrics import RelayMetrics
from colotrace_coordinator.peers.peers import Peers

from .follower import ANSWER_WITHIN_S, LINGER_S, Follower, State
from .messages import Cancel, Echo, Follow, Leave, decode, encode
from .runner import Local, Runner

TICK_S = 0.05
"""How often `to_send` is called while a measurement is followed."""
_IDLE_S = 1.0
_ENDS_WITHIN_S = 1.0
_ACQUAINTED_AFTER_S = 1.0
"""So long after connecting, all other coordinators have reported that they are there."""
_MOST_LOGGED = 16
"""Kinds of events that are logged, each once."""

log = get_logger(__name__)


class Relay:
    """The measurements that other coordinators run; and, for the others, those of this one."""

    def __init__(self, peers: Peers, *, metrics: RelayMetrics, clock: RunningClock) -> None:
        """Call it inside a running event loop, and `serve` next."""
        self.echoed = False
        """Whether the broker has passed on a message of this coordinator since it connected."""
        self._peers = peers
        self._clock = clock
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._echo_due = False
        self._connected_at = 0.0
        self._runner = Runner(peers.origin, dropped=self._dropped, wake=self._wake.set)
        self._follower = Follower(peers.origin, dropped=self._dropped, unknown=self._unknown)
        self._unknown_kinds: set[str] = set()
        metrics.followed.set_function(lambda: self._follower.mirrors)
        metrics.served.set_function(lambda: self._runner.sessions)

    @property
    def origin(self) -> str:
        """The identity of this coordinator's process."""
        return self._peers.origin

    def serve(self, local: Local) -> None:
        """Answer the other coordinators by what runs here."""
        self._runner.local = local

    async def follow(
        self, account_id: str, measurement_id: str, *, position: int = 0
    ) -> Feed | None:
        """The events of a measurement that another coordinator runs: a feed with the same sequence
        numbers, which is kept up to date while it has listeners, and 5 s longer. It is closed when
        the other coordinator is lost.

        The feed is returned once it has what there was at the question, and the event `position`,
        after which a client resumes.

        None if no coordinator runs the measurement, if the account follows too many, or if the
        broker is out of reach.
        """
        if self._alone():
            return None
        mirror = self._follower.follow(account_id, measurement_id, self._clock.now())
        if mirror is None:
            return None
        self._wake.set()
        await self._until(lambda: mirror.runner is not None or mirror.ended, ANSWER_WITHIN_S)
        if mirror.runner is None:
            return None
        await self._until(lambda: mirror.state is not State.ASKED, LINGER_S)
        if not mirror.arrived:
            return None
        if position < RECORDED:
            await self._until(lambda: mirror.position >= position or mirror.ended, ANSWER_WITHIN_S)
        return mirror.feed

    async def cancel(self, account_id: str, measurement_id: str) -> bool:
        """Cancel a measurement that another coordinator runs. False if none has confirmed it within
        a second."""
        if self._alone():
            return False
        cancelling = self._follower.cancel(account_id, measurement_id, self._clock.now())
        if cancelling is None:
            return False
        self._wake.set()
        await self._until(lambda: cancelling.done, ANSWER_WITHIN_S)
        return cancelling.done

    async def drain(self) -> None:
        """Wait until the other coordinators have the ends of the measurements that ran here, for
        1 s at most. No measurement runs here any more."""
        await self._until(lambda: not self._runner.sessions, _ENDS_WITHIN_S)

    def _alone(self) -> bool:
        if not self.echoed:
            return True
        acquainted = self._clock.now() - self._connected_at > _ACQUAINTED_AFTER_S
        return acquainted and self._peers.coordinators == 1

    async def _until(self, holds: Callable[[], bool], within_s: float) -> None:
        with suppress(TimeoutError):
            async with self._clock.timeout(within_s):
                while not holds():
                    await self._news.wait()

    # The broker

    def connected(self) -> None:
        """Messages arrive from now on."""
        self._echo_due = True
        self._connected_at = self._clock.now()

    def disconnected(self) -> None:
        """No messages arrive until `connected`. What is followed goes on if that is soon."""
        self.echoed = False

    def heard(self, topic: str, payload: bytes) -> None:
        """Take a message of another coordinator.

        Raises:
            InvalidReportError: it is invalid.
        """
        message, now = decode(payload), self._clock.now()
        if message is None:
            return
        if message.origin == self.origin:
            self.echoed |= isinstance(message, Echo)
            return
        try:
            if isinstance(message, Follow | Leave | Cancel):
                self._runner.heard(message, now, addressed=topic != bus.ALL_COORDINATORS)
            elif not isinstance(message, Echo):
                self._follower.heard(message, now)
        finally:
            self._tell()

    def to_send(self) -> Iterator[tuple[str, bytes]]:
        """The messages that are due, each with its topic. Call it after `due`."""
        now = self._clock.now()
        self.expire()
        if self._echo_due:
            self._echo_due = False
            yield bus.coordinator(self.origin), encode(Echo(origin=self.origin, session=0))
        for runner, payload in self._follower.to_send(now):
            yield bus.ALL_COORDINATORS if runner is None else bus.coordinator(runner), payload
        for follower, payload in self._runner.to_send(now):
            yield bus.coordinator(follower), payload

    async def due(self) -> None:
        """Wait until there may be something to send."""
        busy = self._follower.busy or self._runner.sessions
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_S if busy else _IDLE_S):
                await self._wake.wait()
        self._wake.clear()

    def expire(self) -> None:
        """End what is no longer followed, or whose coordinator is lost. Call it every second or
        more often, also without a connection."""
        now = self._clock.now()
        self._runner.expire(now)
        if self._follower.expire(now):
            self._tell()

    def _tell(self) -> None:
        """Let the requests that wait look again."""
        self._news.set()
        self._news = asyncio.Event()

    def _unknown(self, kind: str) -> None:
        self._dropped("kind")
        if kind not in self._unknown_kinds and len(self._unknown_kinds) < _MOST_LOGGED:
            self._unknown_kinds.add(kind)
            log.warning(
                "relay_unknown_event",
                kind=kind[:40],
                remedy="upgrade this coordinator to the version of the others",
            )

    def _dropped(self, reason: str) -> None:
        self._metrics.dropped.labels(reason=reason).inc()
