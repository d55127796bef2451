"""The side that follows measurements of other coordinators: pure, `now` in seconds.

Each measurement that is watched here has a mirror: a feed that is a copy of the runner's, with the
same sequence numbers.
"""

import enum
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from colotrace_coordinator.errors import InvalidReportError
from colotrace_coordinator.live.feed import Feed
from colotrace_coordinator.shares import Shares, TokenBuckets

from .messages import Cancel, Cancelled, Ended, Follow, Leave, Part, encode, unpack

ANSWER_WITHIN_S = 1.0
"""Without an answer by then, no coordinator runs the measurement."""
ASK_AGAIN_S = 0.3
"""A question that is not answered is repeated: with QoS 0 it may be lost."""
RENEW_EVERY_S = 3.0
LOST_AFTER_S = 4.0
"""A runner that was not heard for this long is lost; it sends something every second."""
LINGER_S = 5.0
"""A mirror without readers is kept for this long: until it has what there was, and for the next
reader."""
REPAIR_AFTER_S, _MAX_REPAIR_AFTER_S = 0.2, 3.2
"""First and longest pause between two repairs; doubled while messages are being lost."""
CALM_S = 10.0
"""After so long without a loss, the pause is the first one again."""
MAX_MIRRORS = 200
MAX_MIRRORS_OF_ACCOUNT = 50
ASKS_A_SECOND = 50.0
ASKS_A_SECOND_OF_ACCOUNT = 10.0
"""Questions to the other coordinators, each of which all of them look at."""
MAX_BYTES = 512 << 20
MAX_BYTES_OF_ACCOUNT = 256 << 20
"""Bytes of the events of all mirrors, those that newer ones have replaced and pieces of batches
included. 3,000 rows of 15 hops have 14 MB."""
_EVENT_BYTES = 512
"""Memory of an event beside its data, so that empty ones are bounded too."""

_JSON = msgspec.json.Decoder(msgspec.Raw)


class State(enum.Enum):
    """A mirror's state."""

    ASKED = enum.auto()
    """No coordinator has answered, or what it had has not arrived yet."""
    FOLLOWED = enum.auto()
    ENDED = enum.auto()
    """The measurement has ended, or its runner is lost; the feed has ended, too."""


@dataclass(slots=True, eq=False)
class Mirror:
    """A measurement that another coordinator runs. Times are in seconds, on the clock of `now`:
    when it was first asked for (`asked_at`), last wanted by a watcher here (`watched_at`), last
    heard of (`heard_at`), last asked for or renewed (`sent_at`), and last repaired (`repaired_at`).
    `round` counts backlogs."""

    account: str
    id: str
    session: int
    asked_at: float
    watched_at: float
    feed: Feed = field(default_factory=Feed)
    state: State = State.ASKED
    runner: str | None = None
    """The identity of the runner, once it has answered."""
    head: int | None = None
    """The runner's last event when it answered."""
    heard_at: float = 0.0
    sent_at: float = float("-inf")
    round: int = 0
    count: int = 0
    """The number of the next message of the round."""
    broken: bool = False
    """A message of the round was lost."""
    pause_s: float = REPAIR_AFTER_S
    repaired_at: float = float("-inf")
    pieces: list[bytes] = field(default_factory=list)
    position: int = 0
    """The last event that arrived."""
    taken: int = 0

    @property
    def arrived(self) -> bool:
        """Whether what the runner had when it answered has arrived."""
        return self.head is not None and self.position >= self.head

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state is State.ENDED


@dataclass(slots=True, eq=False)
class Cancelling:
    """A measurement that another coordinator is asked to cancel."""

    account: str
    id: str
    session: int
    asked_at: float
    sent_at: float = float("-inf")
    done: bool = False


class Follower:
    """Asks the other coordinators."""

    def __init__(
        self, origin: str, *, dropped: Callable[[str], None], unknown: Callable[[str], None]
    ) -> None:
        """`dropped` counts by `metrics.RELAY_DROPS`; `unknown` gets the kind of each event of a
        later version, which is left out."""
        self._origin = origin
        self._dropped = dropped
        self._unknown = unknown
        self._mirrors: dict[int, Mirror] = {}
        self._by_id: dict[tuple[str, str], Mirror] = {}
        self._cancels: dict[int, Cancelling] = {}
        self._leaving: list[tuple[str, int]] = []
        self._shares = Shares[str](MAX_MIRRORS, MAX_MIRRORS_OF_ACCOUNT)
        self._bytes: Counter[str] = Counter()
        self._asks = TokenBuckets[None](rate=ASKS_A_SECOND, burst=2 * ASKS_A_SECOND)
        self._asks_of = TokenBuckets[str](
            rate=ASKS_A_SECOND_OF_ACCOUNT, burst=2 * ASKS_A_SECOND_OF_ACCOUNT
        )

    @property
    def mirrors(self) -> int:
        """Measurements that are followed or asked for."""
        return len(self._mirrors)

    @property
    def busy(self) -> bool:
        """Whether time must be told by `to_send`."""
        return bool(self._mirrors or self._cancels or self._leaving)

    def follow(self, account: str, measurement_id: str, now: float) -> Mirror | None:
        """The mirror of a measurement, which is made if there is none. None if the account, or this
        coordinator, follows too many, or asks too often."""
        mirror = self._by_id.get((account, measurement_id))
        if mirror is None:
            if not self._may_ask(account, now):
                return None
            if not self._shares.take(account):
                self._dropped("measurements")
                return None
            mirror = Mirror(account, measurement_id, _new_session(), asked_at=now, watched_at=now)
            self._mirrors[mirror.session] = self._by_id[account, measurement_id] = mirror
        mirror.watched_at = now
        return mirror

    def cancel(self, account: str, measurement_id: str, now: float) -> Cancelling | None:
        """Ask for a measurement to be cancelled. None if the account asks too often. It is over
        once it is `done`, or after `ANSWER_WITHIN_S`."""
        if not self._may_ask(account, now):
            return None
        cancelling = Cancelling(account, measurement_id, _new_session(), asked_at=now)
        self._cancels[cancelling.session] = cancelling
        return cancelling

    def _may_ask(self, account: str, now: float) -> bool:
        if self._asks_of.spend(account, 1, now) and self._asks.spend(None, 1, now):
            return True
        self._dropped("rate")
        return False

    def heard(self, message: Part | Ended | Cancelled, now: float) -> None:
        """Take a message. Those of unknown sessions, and of another coordinator than the session's,
        are ignored.

        Raises:
            InvalidReportError: its events are invalid. Their measurement is no longer followed.
        """
        if isinstance(message, Cancelled):
            cancelling = self._cancels.pop(message.session, None)
            if cancelling is not None:
                cancelling.done = True
            return
        mirror = self._mirrors.get(message.session)
        if mirror is None or mirror.runner not in (None, message.origin):
            return
        if isinstance(message, Ended):
            self._end(mirror)
            return
        try:
            self._part(mirror, message, now)
        except InvalidReportError:
            self._end(mirror)
            raise

    def _part(self, mirror: Mirror, part: Part, now: float) -> None:
        if mirror.runner is None:
            mirror.runner, mirror.head = part.origin, part.position
        mirror.heard_at = now
        if part.round != mirror.round or mirror.broken:
            return
        if part.count != mirror.count or part.piece != len(mirror.pieces):
            self._dropped("lost")
            mirror.broken = True
            return
        mirror.count += 1
        mirror.pieces.append(part.data)
        self._occupy(mirror, len(part.data))
        if len(mirror.pieces) == part.pieces:
            self._take(mirror, self._joined(mirror))
        if mirror.feed.ended:
            self._end(mirror)
        elif self._bytes[mirror.account] > MAX_BYTES_OF_ACCOUNT or self._bytes.total() > MAX_BYTES:
            self._dropped("size")
            self._end(mirror)
        elif mirror.arrived:
            mirror.state = State.FOLLOWED

    def _take(self, mirror: Mirror, data: bytes) -> None:
        if not data:
            return
        batch = unpack(data)
        for kind in batch.unknown:
            self._unknown(kind)
        for event in batch.events:
            self._occupy(mirror, len(event.data) + _EVENT_BYTES)
            try:
                # Clients get it as it is: in UTF-8, and JSON.
                _JSON.decode(str(event.data, "utf-8"))
                mirror.feed.put(event.kind, event.data, row=event.row, sequence=event.sequence)
            except (ValueError, RecursionError) as error:
                raise InvalidReportError(f"an event of a measurement: {error}") from None
        # Events of unknown kinds count: a repair does not ask for them again.
        mirror.position = max(mirror.position, batch.position)

    def _joined(self, mirror: Mirror) -> bytes:
        """The pieces of a batch, which the mirror then has no more."""
        data = b"".join(mirror.pieces)
        mirror.pieces.clear()
        self._occupy(mirror, -len(data))
        return data

    def _occupy(self, mirror: Mirror, size: int) -> None:
        mirror.taken += size
        self._bytes[mirror.account] += size

    def expire(self, now: float) -> bool:
        """End the mirrors that nobody watches, or whose runner is lost. Returns whether any is."""
        before = len(self._mirrors)
        for mirror in list(self._mirrors.values()):
            if mirror.runner is None:
                gone = now - mirror.asked_at > ANSWER_WITHIN_S
            else:
                gone = now - mirror.heard_at > LOST_AFTER_S
            if mirror.feed.listeners:
                mirror.watched_at = now
            if gone or now - mirror.watched_at > LINGER_S:
                self._end(mirror)
        for cancelling in list(self._cancels.values()):
            if now - cancelling.asked_at > ANSWER_WITHIN_S:
                del self._cancels[cancelling.session]
        return len(self._mirrors) < before

    def _end(self, mirror: Mirror) -> None:
        if mirror.ended:
            return
        mirror.state = State.ENDED
        del self._mirrors[mirror.session], self._by_id[mirror.account, mirror.id]
        self._shares.release(mirror.account)
        self._bytes -= Counter({mirror.account: mirror.taken})
        if mirror.runner is not None:
            self._leaving.append((mirror.runner, mirror.session))
        mirror.feed.close()

    def to_send(self, now: float) -> Iterator[tuple[str | None, bytes]]:
        """The messages that are due, each with the coordinator that it is for; None: for all."""
        leaving, self._leaving = self._leaving, []
        for runner, session in leaving:
            yield runner, encode(Leave(origin=self._origin, session=session))
        for cancelling in list(self._cancels.values()):
            if now - cancelling.sent_at >= ASK_AGAIN_S:
                cancelling.sent_at = now
                yield None, encode(self._cancel_message(cancelling))
        for mirror in list(self._mirrors.values()):
            if mirror.broken and now - mirror.repaired_at >= mirror.pause_s:
                self._repair(mirror, now)
            due_s = RENEW_EVERY_S if mirror.count else ASK_AGAIN_S
            if now - mirror.sent_at >= due_s:
                mirror.sent_at = now
                yield mirror.runner, encode(self._follow_message(mirror))

    def _cancel_message(self, cancelling: Cancelling) -> Cancel:
        return Cancel(
            origin=self._origin,
            session=cancelling.session,
            account=cancelling.account,
            id=cancelling.id,
        )

    def _follow_message(self, mirror: Mirror) -> Follow:
        return Follow(
            origin=self._origin,
            session=mirror.session,
            account=mirror.account,
            id=mirror.id,
            position=mirror.position,
            round=mirror.round,
        )

    def _repair(self, mirror: Mirror, now: float) -> None:
        calm = now - mirror.repaired_at > CALM_S
        mirror.pause_s = REPAIR_AFTER_S if calm else min(2 * mirror.pause_s, _MAX_REPAIR_AFTER_S)
        mirror.repaired_at = now
        mirror.round += 1
        mirror.count, mirror.broken = 0, False
        self._joined(mirror)  # of the earlier round
        mirror.sent_at = float("-inf")


def _new_session() -> int:
    return secrets.randbits(63)
