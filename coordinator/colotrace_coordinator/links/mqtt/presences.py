"""Which processes say at the broker that they are there: sans-IO.

Each process has a topic of its own, so that the last will of one says nothing of another. Of
several processes with one agent id the one that started last counts; the others are heard of again
when it has gone. Nobody is believed to be there for longer than `PRESENCE_EXPIRY_S`, nor, after the
broker was out of reach, for longer than `CONFIRM_S` unless it says so anew.
"""

from dataclasses import dataclass

from colotrace_proto.bus import PRESENCE_EXPIRY_S, Process, process_of
from colotrace_proto.codec import ProtocolError, decode_presence
from colotrace_proto.messages import AgentId, ColoName, Heartbeat, Hello, Presence

from colotrace_coordinator.fanout.agents import AgentKey

CONFIRM_S = 5.0
"""How long agents may take to come back to a broker that is back."""
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Came:
    """An agent is there that was not, or in another's place."""

    hello: Hello
    draining: bool


@dataclass(frozen=True, slots=True)
class Renewed:
    """An agent is still there."""

    agent: AgentKey
    draining: bool
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class Left:
    """An agent is no longer there."""

    agent: AgentKey


Event = Came | Renewed | Left


@dataclass(slots=True)
class _Known:
    presence: Presence
    until: float


class Presences:
    """The processes that are there. Times are in seconds, on the clock of `now`."""

    def __init__(self) -> None:
        self._known: dict[Process, _Known] = {}
        # By place and id: the processes, and the one that counts.
        self._namesakes: dict[tuple[ColoName, AgentId], set[Process]] = {}
        self._counting: dict[tuple[ColoName, AgentId], Process] = {}

    def __len__(self) -> int:
        return len(self._known)

    def heard(self, topic: str, payload: bytes, now: float) -> list[Event]:
        """What a message on an agent's topic changes.

        Raises:
            ProtocolError: it is no presence, or not that topic's.
        """
        process = process_of(topic)
        if process is None:
            raise ProtocolError("the topic is no process's")
        if not payload:
            return self._left(process)
        presence = decode_presence(payload)
        hello = presence.hello
        if Process(hello.colo, hello.agent_id, hello.boot_id) != process:
            raise ProtocolError("it speaks of another process than its topic")
        if process not in self._known and len(self._known) >= _MOST:
            raise ProtocolError(f"{_MOST:,} processes are there, and no more may be")
        self._known[process] = _Known(presence, now + PRESENCE_EXPIRY_S)
        place = process.colo, process.agent_id
        self._namesakes.setdefault(place, set()).add(process)
        return self._choose(place, of=process)

    def back(self, now: float) -> None:
        """The broker is in reach again: who is there says so anew."""
        for known in self._known.values():
            known.until = min(known.until, now + CONFIRM_S)

    def expire(self, now: float) -> list[Event]:
        """Those that have not said for too long that they are there."""
        events: list[Event] = []
        for process in [each for each, known in self._known.items() if known.until <= now]:
            events += self._left(process)
        return events

    def _left(self, process: Process) -> list[Event]:
        if self._known.pop(process, None) is None:
            return []
        place = process.colo, process.agent_id
        self._namesakes[place].discard(process)
        if self._counting[place] != process:
            return []
        del self._counting[place]
        gone = Left(AgentKey(process.agent_id, process.boot_id))
        if not self._namesakes[place]:
            del self._namesakes[place]
            return [gone]
        return [gone, *self._choose(place, of=None)]

    def _choose(self, place: tuple[ColoName, AgentId], *, of: Process | None) -> list[Event]:
        """Who counts now; `of` is the process that has just been heard."""
        latest = max(self._namesakes[place], key=self._seniority)
        presence = self._known[latest].presence
        if self._counting.get(place) != latest:
            self._counting[place] = latest
            return [Came(presence.hello, presence.draining)]
        if latest != of:
            return []
        agent = AgentKey(latest.agent_id, latest.boot_id)
        return [Renewed(agent, presence.draining, presence.heartbeat)]

    def _seniority(self, process: Process) -> tuple[int, bytes]:
        return self._known[process].presence.started_ms, process.boot_id
