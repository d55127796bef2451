"""Agents' processes that are announced at the broker: sans-IO.

Each process has its own topic, so that its last will ends no other process's presence. Of several
processes with one agent id the one that started last counts; another counts once that one has gone.
A presence expires after `PRESENCE_EXPIRY_S`, and, once the broker was unreachable, after
`CONFIRM_S` unless it is renewed.
"""

from dataclasses import dataclass

from colotrace_proto.bus import PRESENCE_EXPIRY_S, Process, process_of
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.messages import AgentId, ColoName, Presence
from colotrace_proto.published import decode_presence

from colotrace_coordinator.shares import Shares, TokenBuckets

CONFIRM_S = 5.0
"""How long agents have to connect again after the broker was unreachable."""
MAX_PROCESSES = 10_000
MAX_OF_COLO = 512
MAX_OF_ID = 16
"""Bounds on announced processes. With the ACL, a broker's user can write the topics of one agent id
only; without it, a colo's."""
ID_RATE, ID_BURST = 1.0, 100.0
COLO_RATE, COLO_BURST = 50.0, 2_000.0
"""Token buckets (rate a second, burst) for messages. A presence is renewed each 20 s."""
TAKEOVER_RATE, TAKEOVER_BURST = 1 / 60, 3.0
"""Token bucket for takeovers of an id whose process is still announced."""

_Place = tuple[ColoName, AgentId]


@dataclass(frozen=True, slots=True)
class Announced:
    """A process is announced and counts. `fresh`: it was not announced before, or not since the
    broker was unreachable; what was published before may not have reached it."""

    process: Process
    presence: Presence
    fresh: bool


@dataclass(frozen=True, slots=True)
class Gone:
    """A process that counted is no longer announced, or another one counts."""

    process: Process


Event = Announced | Gone


@dataclass(slots=True)
class _Known:
    presence: Presence
    until: float
    # Whether the broker was unreachable since the last message.
    doubted: bool = False


class Presences:
    """The announced processes. Times are in seconds, on the clock of `now`."""

    def __init__(
        self,
        *,
        most: int = MAX_PROCESSES,
        most_of_colo: int = MAX_OF_COLO,
        takeover_burst: float = TAKEOVER_BURST,
    ) -> None:
        self._known: dict[Process, _Known] = {}
        # By colo and id: the processes, and the one that counts.
        self._namesakes: dict[_Place, set[Process]] = {}
        self._counting: dict[_Place, Process] = {}
        self._shares: Shares[ColoName] = Shares(most, most_of_colo)
        self._of_id: TokenBuckets[_Place] = TokenBuckets(rate=ID_RATE, burst=ID_BURST)
        self._of_colo: TokenBuckets[ColoName] = TokenBuckets(rate=COLO_RATE, burst=COLO_BURST)
        self._takeovers: TokenBuckets[_Place] = TokenBuckets(
            rate=TAKEOVER_RATE, burst=takeover_burst
        )

    def __len__(self) -> int:
        """Announced processes."""
        return len(self._known)

    def processes(self) -> list[Process]:
        """The announced processes."""
        return list(self._known)

    def places(self) -> set[tuple[ColoName, AgentId]]:
        """Colo and id of the agents of which a process is announced."""
        return set(self._namesakes)

    def counting(self, colo: ColoName, agent_id: AgentId) -> Process | None:
        """The process that counts, if one is announced."""
        return self._counting.get((colo, agent_id))

    def heard(
        self, topic: str, payload: bytes, now: float, *, expiry_s: float = PRESENCE_EXPIRY_S
    ) -> list[Event]:
        """What a message on an agent's topic changes. `expiry_s`: the rest of its lifetime, as the
        broker states it.

        Raises:
            ProtocolError: it is no presence, belongs to another topic, or exceeds a rate or bound.
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
        return [Announced(process, presence, fresh=before is not None and before.doubted)]

    def back(self, now: float) -> None:
        """The broker is reachable again: every process has to renew its presence."""
        for known in self._known.values():
            known.until, known.doubted = now + CONFIRM_S, True

    def gone(self, process: Process, now: float) -> list[Event]:
        """Drop a process, as if it had said that it is gone."""
        return self._gone(process, now)

    def expire(self, now: float) -> list[Event]:
        """Drop the presences that were not renewed in time."""
        events: list[Event] = []
        for process in [each for each, known in self._known.items() if known.until <= now]:
            events += self._gone(process, now)
        return events

    def _enter(self, process: Process, place: _Place, started_ms: int) -> None:
        """Add a process. If its id has too many, it replaces the earliest that does not count.

        Raises:
            ProtocolError: a bound on the processes of its id or colo is reached.
        """
        namesakes = self._namesakes.get(place, set())
        if len(namesakes) >= MAX_OF_ID:
            spare = namesakes - {self._counting[place]}
            earliest = min(spare, key=self._seniority)
            if (started_ms, process.boot_id) < self._seniority(earliest):
                raise ProtocolError(f"{MAX_OF_ID} later processes of its id are announced")
            del self._known[earliest]
            namesakes.discard(earliest)
            self._shares.release(process.colo)
        if not self._shares.take(process.colo):
            raise ProtocolError("too many processes of the colo are announced")
        self._namesakes.setdefault(place, set()).add(process)

    def _gone(self, process: Process, now: float) -> list[Event]:
        if self._known.pop(process, None) is None:
            return []
        place = process.colo, process.agent_id
        self._namesakes[place].discard(process)
        self._shares.release(process.colo)
        return self._choose(place, now)

    def _choose(self, place: _Place, now: float) -> list[Event]:
        """Select the process that counts; the events say whether it is another than before."""
        namesakes, before = self._namesakes[place], self._counting.get(place)
        latest = max(namesakes, key=self._seniority, default=None)
        if latest == before:
            return []
        if before in namesakes and not self._takeovers.spend(place, 1, now):
            return []  # several processes share an id: the one that counts stays
        events: list[Event] = [] if before is None else [Gone(before)]
        if latest is None:
            del self._namesakes[place], self._counting[place]
        else:
            self._counting[place] = latest
            events.append(Announced(latest, self._known[latest].presence, fresh=True))
        return events

    def _seniority(self, process: Process) -> tuple[int, bytes]:
        return self._known[process].presence.started_ms, process.boot_id
