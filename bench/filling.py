"""The events of a measurement that fills at a fixed speed, by HTTP on loopback.

The coordinator writes its newest state to each client ten times a second. So does this, with pieces
of the same size, whatever the machine does at the moment.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

PIECES_A_SECOND = 10
_NAMED = ("asn", "ip", "name")


def pieces(answer: dict[str, Any], *, seconds: float) -> list[bytes]:
    """The events of a measurement of one target, whose answer this is, in equal pieces: all rows
    begin together, and grow by a hop in turn. The first piece has the start, the last one the end.
    """
    info, (target,) = answer["result_info"], answer["result"]
    running = info | {"status": "running", "ended_at": None, "took_ms": None}
    events = list(_grown(target["colos"]))
    size = -(-len(events) // max(1, round(seconds * PIECES_A_SECOND)))
    parts = [events[first : first + size] for first in range(0, len(events), size)]
    numbers = count(1)
    told = [
        [("start", {"measurement": running})],
        *parts,
        [("end", {"measurement": info})],
    ]
    return [b"".join(_event(next(numbers), *each) for each in part) for part in told]


def _grown(colos: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    longest = max(len(row["hops"]) for row in colos)
    for place in range(longest):
        for colo, row in enumerate(colos):
            hops = row["hops"]
            where = {"target": 0, "colo": colo}
            if place < len(hops):
                known = row["target_summary"]
                so_far = {name: known[name] for name in _NAMED if name in known}
                summary = known if place == len(hops) - 1 else so_far | {"packet_count": 0}
                told = {"hops": [hops[place]], "target_summary": summary, "fresh": False}
                yield "hops", where | told
            if place == len(hops) - 1:
                yield "row", where | {"row": row}


def _event(number: int, kind: str, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, separators=(",", ":"))
    return f"id: {number}\nevent: {kind}\ndata: {text}\n\n".encode()


@contextmanager
def server(parts: Sequence[bytes]) -> Iterator[str]:
    """Serve the pieces to every client, ten a second. Returns the URL."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            began = time.monotonic()
            for number, part in enumerate(parts):
                due = began + number / PIECES_A_SECOND
                if stopped.wait(max(due - time.monotonic(), 0)):
                    return
                self.wfile.write(part)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        serving.daemon_threads = True
        thread = threading.Thread(target=serving.serve_forever, name="events")
        thread.start()
        try:
            yield f"http://127.0.0.1:{serving.server_address[1]}/events"
        finally:
            stopped.set()
            serving.shutdown()
            thread.join()
