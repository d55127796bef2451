"""Events of rows, put into a feed and read from it."""

import json
from typing import Any

from colotrace_coordinator.live.feed import Feed, Kind


def encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def hops(row: int, *found: tuple[int, str], fresh: bool = False) -> bytes:
    """The data of an event with hops, each a TTL and a text that tells it apart."""
    shown = [{"packets_ttl": ttl, "nodes": [text]} for ttl, text in found]
    return encoded({"target": 0, "colo": row, "hops": shown, "fresh": fresh})


def put_hops(feed: Feed, row: int, *found: tuple[int, str], fresh: bool = False) -> None:
    feed.put(Kind.HOPS, hops(row, *found, fresh=fresh), row=row)


def put_row(feed: Feed, row: int, text: str) -> None:
    feed.put(Kind.ROW, encoded({"target": 0, "colo": row, "row": text}), row=row)


def events_of(data: bytes) -> list[tuple[int, str, Any]]:
    """Number, name and data of each server-sent event."""
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        number, name, line = block.split("\n")
        found.append(
            (
                int(number.removeprefix("id: ")),
                name.removeprefix("event: "),
                json.loads(line.removeprefix("data: ")),
            )
        )
    return found
