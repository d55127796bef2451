"""A strict reader of a measurement's events, as the API sends them.

It reads server-sent events as WHATWG HTML, section 9.2.6, says, and refuses what the API never
sends: unknown fields and names, data that is no line of JSON, numbers that do not ascend, and
anything after the event `end`. `test_events.py` compares it with another reader.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

NAMES = {"start", "hops", "row", "message", "end"}


class BrokenStreamError(AssertionError):
    """The stream is not as the API promises."""


@dataclass(frozen=True)
class Event:
    """An event; `number` is its `id`, None if it has none."""

    name: str
    data: Any
    number: int | None = None


class EventReader:
    """Bytes in, events out. `last_id` is what a client sends as Last-Event-ID."""

    def __init__(self, *, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self.comments = 0
        self.ended = False
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are complete now. `last_id` is that of the last one that was taken."""
        if b"\r" in data:
            raise BrokenStreamError("a line ends with CR")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = self._line(line.decode())
            if event is not None:
                yield event

    def close(self) -> None:
        """The stream is over."""
        if self._rest or self._fields:
            raise BrokenStreamError(f"it ends within an event: {self._fields} {self._rest!r}")

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        if not name:
            self.comments += 1
            return None
        if name == "retry":
            self.retry_ms = int(value)
            return None
        if name not in {"id", "event", "data"} or name in self._fields:
            raise BrokenStreamError(f"a field that is unknown, or twice in its event: {line}")
        self._fields[name] = value.removeprefix(" ")
        return None

    def _dispatch(self) -> Event | None:
        fields, self._fields = self._fields, {}
        name = fields.get("event", "")
        if not fields:
            raise BrokenStreamError("an empty line, which some clients take for an event")
        if name not in NAMES or "data" not in fields or self.ended:
            raise BrokenStreamError(f"{fields} is no event, or follows the end")
        number = None
        if "id" in fields:
            number = int(fields["id"])
            # A number that another feed gave may be beyond those of this one: see the guide.
            if self.last_id and number <= int(self.last_id) and name != "start":
                raise BrokenStreamError(f"event {number} follows event {self.last_id}")
            self.last_id = fields["id"]
        self.ended = name == "end"
        return Event(name, json.loads(fields["data"]), number)


@dataclass
class State:
    """What a client knows of a measurement that applies its events in order: rows, hops and target
    summaries by the indexes of target and colo, hops also by TTL."""

    start: Any = None
    end: Any = None
    rows: dict[tuple[int, int], Any] = field(default_factory=dict)
    hops: dict[tuple[int, int], dict[int, Any]] = field(default_factory=dict)
    target_summaries: dict[tuple[int, int], Any] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        """Apply an event."""
        data = event.data
        match event.name:
            case "start":
                for known in (self.rows, self.hops, self.target_summaries, self.messages):
                    known.clear()
                self.start, self.end = data, None
            case "hops":
                place = data["target"], data["colo"]
                if place in self.rows:
                    raise BrokenStreamError(f"hops of {place} follow the row")
                hops = self.hops.setdefault(place, {})
                if data["fresh"]:
                    hops.clear()
                hops.update({hop["packets_ttl"]: hop for hop in data["hops"]})
                self.target_summaries[place] = data.get("target_summary")
            case "row":
                place = data["target"], data["colo"]
                self.rows[place] = data["row"]
                self.hops.pop(place, None)
                self.target_summaries.pop(place, None)
            case "message":
                self.messages.append(data)
            case "end":
                self.end = data


@dataclass
class Follower:
    """A client that follows a measurement over HTTP, and may resume."""

    client: httpx.AsyncClient
    state: State = field(default_factory=State)
    reader: EventReader = field(default_factory=EventReader)
    """Of the last connection."""

    @asynccontextmanager
    async def events(
        self, url: str, *, method: str = "GET", **request: Any
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of one connection, applied to `state` as they are read; after the last event
        of an earlier one."""
        headers = {"accept": "text/event-stream", **request.pop("headers", {})}
        self.reader = EventReader(last_id=self.reader.last_id)
        if self.reader.last_id:
            headers["last-event-id"] = self.reader.last_id
        async with self.client.stream(method, url, headers=headers, **request) as response:
            if response.status_code != 200:
                raise BrokenStreamError(f"{response.status_code}: {await response.aread()!r}")
            kind = response.headers["content-type"]
            if kind.partition(";")[0] != "text/event-stream":
                raise BrokenStreamError(f"the answer is {kind}")
            yield self._read(response)

    async def all(self, url: str, *, method: str = "GET", **request: Any) -> list[Event]:
        """All events of one connection, up to its end."""
        async with self.events(url, method=method, **request) as events:
            return [event async for event in events]

    async def _read(self, response: httpx.Response) -> AsyncIterator[Event]:
        async for data in response.aiter_raw():
            for event in self.reader.feed(data):
                self.state.apply(event)
                yield event
        self.reader.close()


def events_of(data: bytes) -> Iterator[Event]:
    """The events of a whole stream."""
    reader = EventReader()
    yield from reader.feed(data)
    reader.close()
