"""Which processes say at the broker that they are there: sans-IO.

Each process has a topic of its own, so that the last will of one says nothing of another. Of
several processes with one agent id the one that started last counts; the others are heard of again
when it has gone. Nobody is believed to be there for longer than `PRESENCE_EXPIRY_S`, nor, after the
broker was out of reach, for longer than `CONFIRM_S` unless it says so anew.
"""

from dataclasses import dataclass

from colotrace_proto.bus import PRESENCE_EXPIRY_S, Process, process_of
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import AgentId, ColoName, Presence
from colotrace_proto.published import decode_presence

from colotrace_coordinator.shares import Budgets, Shares

CONFIRM_S = 5.0
"""How long agents may take to come back to a broker that is back."""
_MOST = 10_000
MOST_OF_COLO = 512
MOST_OF_ID = 16
"""Processes that are there. A broker's user may write the topics of one agent id (see the ACL), so
an id is as much as a user has; a colo is what users without an ACL are told by."""
ID_RATE, ID_BURST = 1.0, 100.0
COLO_RATE, COLO_BURST = 50.0, 2_000.0
"""Messages a second, and at once. A presence is renewed each 20 s."""
TAKEOVER_RATE, TAKEOVER_BURST = 1 / 60, 3.0
"""Takeovers of an id whose process is still there."""

_Place = tuple[ColoName, AgentId]


@dataclass(frozen=True, slots=True)
class Here:
    """A process is there, and counts. `anew` where it has come, or says so for the first time
    after the broker was out of reach: what was published before may not have reached it."""

    process: Process
    presence: Presence
    anew: bool


@dataclass(frozen=True, slots=True)
class Gone:
    """A process that counted is no longer there, or another is in its place."""

    process: Process


Event = Here | Gone


@dataclass(slots=True)
class _Known:
    presence: Presence
    until: float
    # Whether the broker was out of reach since it was heard.
    doubted: bool = False


class Presences:
    """The processes that are there. Times are in seconds, on the clock of `now`."""

    def __init__(
        self,
        *,
        most: int = _MOST,
        most_of_colo: int = MOST_OF_COLO,
        takeover_burst: float = TAKEOVER_BURST,
    ) -> None:
        self._known: dict[Process, _Known] = {}
        # By place and id: the processes, and the one that counts.
        self._namesakes: dict[_Place, set[Process]] = {}
        self._counting: dict[_Place, Process] = {}
        self._shares: Shares[ColoName] = Shares(most, most_of_colo)
        self._of_id: Budgets[_Place] = Budgets(rate=ID_RATE, burst=ID_BURST)
        self._of_colo: Budgets[ColoName] = Budgets(rate=COLO_RATE, burst=COLO_BURST)
        self._takeovers: Budgets[_Place] = Budgets(rate=TAKEOVER_RATE, burst=takeover_burst)

    def __len__(self) -> int:
        return len(self._known)

    def counting(self, colo: ColoName, agent_id: AgentId) -> Process | None:
        """The process that counts, if any is there."""
        return self._counting.get((colo, agent_id))

    def heard(
        self, topic: str, payload: bytes, now: float, *, expiry_s: float = PRESENCE_EXPIRY_S
    ) -> list[Event]:
        """What a message on an agent's topic changes. `expiry_s` is what is left of its time by
        the broker's word.

        Raises:
            ProtocolError: it is no presence, not that topic's, or too much of its id or colo.
        """
        process = process_of(topic)
        if process is None:
            raise ProtocolError("the topic is no process's")
        place = process.colo, process.agent_id
        if not self._of_id.spend(place, 1, now) or not self._of_colo.spend(process.colo, 1, now):
            raise ProtocolError("more messages than one id or colo may send")
        if not payload:
            return self._gone(process, now)
        presence = decode_presence(payload)
        hello = presence.hello
        if Process(hello.colo, hello.agent_id, hello.boot_id) != process:
            raise ProtocolError("it speaks of another process than its topic")
        before = self._known.get(process)
        if before is None:
            self._enter(process, place, presence.started_ms)
        self._known[process] = _Known(presence, now + min(expiry_s, PRESENCE_EXPIRY_S))
        if events := self._choose(place, now):
            return events
        if self._counting[place] != process:
            return []
        return [Here(process, presence, anew=before is not None and before.doubted)]

    def back(self, now: float) -> None:
        """The broker is in reach again: who is there says so anew, as nobody could before."""
        for known in self._known.values():
            known.until, known.doubted = now + CONFIRM_S, True

    def expire(self, now: float) -> list[Event]:
        """Those that have not said for too long that they are there."""
        events: list[Event] = []
        for process in [each for each, known in self._known.items() if known.until <= now]:
            events += self._gone(process, now)
        return events

    def _enter(self, process: Process, place: _Place, started_ms: int) -> None:
        """Of too many processes of one id, those that do not count give way to later ones.

        Raises:
            ProtocolError: as many are there of its id, or of its colo, as may be.
        """
        namesakes = self._namesakes.get(place, set())
        if len(namesakes) >= MOST_OF_ID:
            spare = namesakes - {self._counting[place]}
            earliest = min(spare, key=self._seniority)
            if (started_ms, process.boot_id) < self._seniority(earliest):
                raise ProtocolError(f"{MOST_OF_ID} later processes of its id are there")
            del self._known[earliest]
            namesakes.discard(earliest)
            self._shares.release(process.colo)
        if not self._shares.take(process.colo):
            raise ProtocolError("as many processes of the colo are there as may be")
        self._namesakes.setdefault(place, set()).add(process)

    def _gone(self, process: Process, now: float) -> list[Event]:
        if self._known.pop(process, None) is None:
            return []
        place = process.colo, process.agent_id
        self._namesakes[place].discard(process)
        self._shares.release(process.colo)
        return self._choose(place, now)

    def _choose(self, place: _Place, now: float) -> list[Event]:
        """Sees to it that the right process counts, and tells where that is another than before."""
        namesakes, before = self._namesakes[place], self._counting.get(place)
        latest = max(namesakes, key=self._seniority, default=None)
        if latest == before:
            return []
        if before in namesakes and not self._takeovers.spend(place, 1, now):
            return []  # several that share an id: the one that counts stays
        events: list[Event] = [] if before is None else [Gone(before)]
        if latest is None:
            del self._namesakes[place], self._counting[place]
        else:
            self._counting[place] = latest
            events.append(Here(latest, self._known[latest].presence, anew=True))
        return events

    def _seniority(self, process: Process) -> tuple[int, bytes]:
        return self._known[process].presence.started_ms, process.boot_id
