"""Measurements that no lab has as the events of their stream: whole, or broken off."""

from __future__ import annotations

from collections.abc import Sequence

from colotrace_coordinator.measurements.events import (
    end_event,
    message_event,
    row_event,
    start_event,
)
from colotrace_coordinator.model import Message
from colotrace_proto import tally
from colotrace_proto.measured import Measured, Status
from msgspec.structs import replace

Event = tuple[str, bytes]
"""Kind and data."""


def events(made: Measured, *, messages: Sequence[Message] = ()) -> list[Event]:
    """All events of a measurement with one target."""
    running = replace(made.summary, status=Status.RUNNING, ended_ms=None, finished=0)
    found = tally.colo_rows([trace.gathered for trace in made.traces.values()], made.known)
    return [
        ("start", start_event(running)),
        *(("row", row_event(running, number, row)) for number, row in enumerate(found)),
        *(("message", message_event(message)) for message in messages),
        ("end", end_event(made.summary)),
    ]


def stream(told: Sequence[Event], *, after: int = 0) -> bytes:
    """The body of an event stream: the events after that id."""
    return b"".join(
        b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), data)
        for number, (kind, data) in enumerate(told, 1)
        if number > after
    )
