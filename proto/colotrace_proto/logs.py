"""Logs of the agent and the coordinator: one event a line on standard error.

Untrusted input can cause events, so logs are bounded in three ways. Each value is escaped and cut
(`text.safe_event`). Events of one name are rate-limited (`Floods`). If standard error is not read,
lines beyond a bound are dropped and counted (`Lines`).
"""

import atexit
import json as json_lines
import logging
import sys
import time
from collections.abc import Callable

import structlog

from .output import ERRORS, STDERR, encoding, write_all
from .tasks import running_loop
from .text import safe_event
from .writer import Writer

_BURST, _PER_S = 1_000, 50
_MOST_NAMES = 1_000
_LAST_LINES_S = 2.0
_COLLECT_S = 0.02
"""How long lines wait to be written together: each wakes the thread that writes them."""
_IDENTIFIED = ("account", "credential")


def configure(*, json: bool, threshold: int = logging.NOTSET, colors: bool = False) -> None:
    """Set up logging for the process, including libraries' logs from level warning."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if json
        else structlog.dev.ConsoleRenderer(colors=colors)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            Floods(time.monotonic),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without local variables, which may be tokens.
            structlog.processors.format_exc_info,
            safe_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(Lines(json=json)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(threshold, logging.WARNING))


class Floods:
    """A processor that rate-limits events of one name with a token bucket (`per_s`, `burst`).

    The next logged event has `suppressed`, the number of events left out. Events with `account` or
    `credential` are not limited here, because the account's requests are.
    """

    def __init__(
        self, clock: Callable[[], float], *, burst: int = _BURST, per_s: float = _PER_S
    ) -> None:
        self._clock = clock
        self._burst, self._per_s = burst, per_s
        self._names: dict[str, _Bucket] = {}

    def __call__(
        self, _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """The event; raises `DropEvent` if the limit is exceeded."""
        if any(event.get(key) is not None for key in _IDENTIFIED):
            return event
        # A library's event is a sentence that may contain untrusted text, so use the logger's name.
        name = str(event.get("logger") or event.get("event"))
        if name not in self._names and len(self._names) >= _MOST_NAMES:
            name = ""
        now = self._clock()
        bucket = self._names.setdefault(name, _Bucket(self._burst, now))
        bucket.left = min(bucket.left + (now - bucket.at) * self._per_s, self._burst)
        bucket.at = now
        if bucket.left < 1:
            bucket.suppressed += 1
            raise structlog.DropEvent
        bucket.left -= 1
        if bucket.suppressed:
            event["suppressed"], bucket.suppressed = bucket.suppressed, 0
        return event


class _Bucket:
    __slots__ = ("at", "left", "suppressed")

    def __init__(self, left: float, at: float) -> None:
        self.left, self.at, self.suppressed = left, at, 0


class Lines:
    """Standard error for log lines; usable from any thread.

    Once an event loop runs, a thread writes the lines, so that callers never block. Before that the
    lines are written directly: a thread started before privileges are dropped would keep them.
    """

    def __init__(self, *, json: bool, descriptor: int = STDERR) -> None:
        self._json = json
        self._descriptor = descriptor
        self._writer: Writer | None = None
        self._dropped = 0

    def write(self, text: str) -> None:
        """Log whole lines."""
        data = self._encoded(text)
        if self._writer is None and running_loop() is None:
            try:
                write_all(self._descriptor, data)
            except OSError:
                return
            return
        if self._writer is None:
            self._writer = Writer(self._descriptor, collect_s=_COLLECT_S)
            atexit.register(self._writer.finish_blocking, within_s=_LAST_LINES_S)
        if self._dropped and self._writer.offer(self._encoded(self._notice())):
            self._dropped = 0
        if self._dropped or not self._writer.offer(data):
            self._dropped += 1

    def flush(self) -> None:
        """Do nothing: lines are not buffered."""

    def _encoded(self, text: str) -> bytes:
        return text.encode(encoding(sys.stderr), ERRORS)

    def _notice(self) -> str:
        event = {
            "event": "log_lines_dropped",
            "level": "warning",
            "lines": self._dropped,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if self._json:
            return json_lines.dumps(event) + "\n"
        return " ".join(f"{name}={value}" for name, value in event.items()) + "\n"


class _Forward(logging.Handler):
    """Forwards records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record as an event."""
        structlog.get_logger(record.name).log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info
        )
