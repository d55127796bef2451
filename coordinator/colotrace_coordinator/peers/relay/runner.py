"""The side that runs measurements, for coordinators that follow them: pure, `now` in seconds."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from colotrace_coordinator.errors import CoordinatorError
from colotrace_coordinator.live.feed import Event, Feed
from colotrace_coordinator.shares import Shares, TokenBuckets

from .messages import (
    BATCH,
    MAX_EVENT,
    MAX_EVENTS,
    Cancel,
    Cancelled,
    Ended,
    Follow,
    Leave,
    Message,
    Part,
    encode,
    pack,
    weight,
)

ALIVE_EVERY_S = 1.0
"""A session without events gets an empty part as often as this."""
SEND_EVERY_S = 0.05
"""A session gets events at most as often; the first at once."""
FORGET_AFTER_S = 10.0
"""A session that its follower has not renewed for this long ends."""
MAX_SESSIONS = 1_000
MAX_SESSIONS_OF_ACCOUNT = 250
ASKS_A_SECOND = 200.0
"""Questions that are looked at, of each other coordinator."""
MESSAGES_A_SECOND = 1_000.0
"""Messages with events that are sent, to all sessions together."""
_BURST = 50.0
_MAX_CANCELS = 1_000


class Local(Protocol):
    """The measurements that this coordinator runs."""

    def feed_here(self, account_id: str, measurement_id: str) -> Feed | None:
        """The events of the account's measurement; None if it does not run here."""

    def cancel_here(self, account_id: str, measurement_id: str) -> bool:
        """Cancel the account's measurement; False if it does not run here."""


@dataclass(slots=True)
class _Session:
    """One measurement that one coordinator follows."""

    origin: str
    number: int
    account: str
    feed: Feed
    stop_listening: Callable[[], None]
    position: int
    round: int
    renewed_at: float
    sent_at: float = float("-inf")
    count: int = 0
    pieces: deque[Part] = field(default_factory=deque)


class Runner:
    """Answers the other coordinators. `wake` is called when there may be something to send."""

    def __init__(
        self,
        origin: str,
        *,
        dropped: Callable[[str], None],
        wake: Callable[[], None],
    ) -> None:
        """`dropped` counts by `metrics.RELAY_DROPS`."""
        self._origin = origin
        self.local: Local = _Nothing()
        self._dropped = dropped
        self._wake = wake
        self._sessions: OrderedDict[tuple[str, int], _Session] = OrderedDict()
        self._shares = Shares[str](MAX_SESSIONS, MAX_SESSIONS_OF_ACCOUNT)
        self._asks = TokenBuckets[str](rate=ASKS_A_SECOND, burst=ASKS_A_SECOND)
        self._rate = TokenBuckets[None](rate=MESSAGES_A_SECOND, burst=_BURST)
        self._answers: deque[tuple[str, Message]] = deque(maxlen=MAX_SESSIONS)
        # What was cancelled for others, since a question may be repeated.
        self._cancelled: dict[tuple[str, int], None] = {}

    @property
    def sessions(self) -> int:
        """The measurements that are sent to others; a measurement counts for each coordinator."""
        return len(self._sessions)

    def heard(self, message: Follow | Leave | Cancel, now: float, *, addressed: bool) -> None:
        """Take a message. `addressed`: it was sent to this coordinator alone."""
        key = message.origin, message.session
        if isinstance(message, Leave):
            self._end(key)
            return
        if key not in self._sessions and not self._asks.spend(message.origin, 1, now):
            self._dropped("rate")
            return
        if isinstance(message, Cancel):
            self._cancel(message)
        else:
            self._follow(message, now, addressed=addressed)
        self._wake()

    def _cancel(self, message: Cancel) -> None:
        key = message.origin, message.session
        if key not in self._cancelled:
            if not self.local.cancel_here(message.account, message.id):
                return
            self._cancelled[key] = None
            if len(self._cancelled) > _MAX_CANCELS:
                del self._cancelled[next(iter(self._cancelled))]
        answer = Cancelled(origin=self._origin, session=message.session)
        self._answers.append((message.origin, answer))

    def _follow(self, message: Follow, now: float, *, addressed: bool) -> None:
        key = message.origin, message.session
        session = self._sessions.get(key)
        if session is None:
            feed = self.local.feed_here(message.account, message.id)
            taken = feed is not None and self._shares.take(message.account)
            if feed is None or not taken:
                if feed is not None:
                    self._dropped("measurements")
                if addressed or feed is not None:
                    ended = Ended(origin=self._origin, session=message.session)
                    self._answers.append((message.origin, ended))
                return
            # A position beyond the last event is of another feed.
            position = message.position if message.position <= feed.position else 0
            self._sessions[key] = _Session(
                origin=message.origin,
                number=message.session,
                account=message.account,
                feed=feed,
                stop_listening=feed.listen(partial(self._wake)),  # its own, beside other sessions'
                position=position,
                round=message.round,
                renewed_at=now,
            )
            return
        session.renewed_at = now
        if message.round > session.round:
            session.round, session.position = message.round, message.position
            session.count = 0
            session.sent_at = float("-inf")
            session.pieces.clear()

    def _end(self, key: tuple[str, int]) -> None:
        session = self._sessions.pop(key, None)
        if session is not None:
            session.stop_listening()
            self._shares.release(session.account)

    def expire(self, now: float) -> None:
        """End the sessions that were not renewed."""
        for key in [
            k for k, each in self._sessions.items() if now - each.renewed_at > FORGET_AFTER_S
        ]:
            self._end(key)

    def to_send(self, now: float) -> Iterator[tuple[str, bytes]]:
        """The messages that are due, each with the coordinator that it is for."""
        while self._answers:
            origin, answer = self._answers.popleft()
            yield origin, encode(answer)
        # In turn, a message each, so that a long backlog does not delay the events of others; those
        # that have waited longest first.
        waiting = deque(self._sessions)
        while waiting:
            key = waiting.popleft()
            session = self._sessions.get(key)
            if session is None:
                continue
            try:
                self._fill(session, now)
            except EventTooLargeError:
                self._dropped("size")
                yield self._give_up(key, session)
                continue
            if not session.pieces:
                if session.feed.closed and session.position == session.feed.position:
                    yield self._give_up(key, session)
                continue
            if not self._rate.spend(None, 1, now):
                return
            self._sessions.move_to_end(key)
            waiting.append(key)
            yield session.origin, encode(session.pieces.popleft())

    def _give_up(self, key: tuple[str, int], session: _Session) -> tuple[str, bytes]:
        self._end(key)
        return session.origin, encode(Ended(origin=self._origin, session=session.number))

    def _fill(self, session: _Session, now: float) -> None:
        """Put the session's next batch into pieces, if it is due."""
        if session.pieces:
            return
        since_s = now - session.sent_at
        behind = session.position != session.feed.position
        if since_s < (SEND_EVERY_S if behind else ALIVE_EVERY_S):
            return
        events = _batch(session.feed, session.position) if behind else []
        pieces = list(pack(events)) if events else [b""]
        for number, piece in enumerate(pieces):
            part = Part(
                origin=self._origin,
                session=session.number,
                round=session.round,
                count=session.count,
                position=session.feed.position,
                piece=number,
                pieces=len(pieces),
                data=piece,
            )
            session.pieces.append(part)
            session.count += 1
        if events:
            session.position = events[-1].sequence
        # What is left of a backlog follows at once.
        if session.position == session.feed.position:
            session.sent_at = now


class _Nothing:
    """Nothing runs here."""

    def feed_here(self, account_id: str, measurement_id: str) -> None:
        """See `Local`."""

    def cancel_here(self, account_id: str, measurement_id: str) -> bool:  # noqa: ARG002
        """See `Local`."""
        return False


class EventTooLargeError(CoordinatorError):
    """An event exceeds `MAX_EVENT`."""


def _batch(feed: Feed, position: int) -> list[Event]:
    batch: list[Event] = []
    size = 0
    for event in feed.events(position, most=MAX_EVENTS):
        if len(event.data) > MAX_EVENT:
            raise EventTooLargeError
        size += weight(event)
        if batch and size > BATCH:
            break
        batch.append(event)
    return batch
