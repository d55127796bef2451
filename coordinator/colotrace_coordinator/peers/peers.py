"""The exchange of counts between coordinators: pure, bytes in and out, `now` in seconds.

Each coordinator publishes what it has counted since its last report, and adds what the others
report. One that starts, or that has lost its connection, asks the others for everything they know.
A lost report is not repeated: the limits may then be exceeded by what it held.
"""

import secrets
from collections.abc import Iterator
from typing import Annotated

import msgspec

from colotrace_coordinator.errors import InvalidReportError

from .counts import Count, Counts

REPORT_EVERY_S = 0.1
"""How often counts are reported, and so how old the other coordinators' counts may be."""
ALIVE_EVERY_S = 5.0
"""A coordinator that has nothing to report says so as often as this."""
GONE_AFTER_S = 3 * ALIVE_EVERY_S
"""A coordinator that was not heard for this long is gone."""
MAX_PEERS = 100
MAX_REPORT = 16_384
"""Greatest size of a report, in bytes."""
_COUNTS = 40
"""Counts in a report: with the longest keys it has less than `MAX_REPORT` bytes."""


class _Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is published. Later versions may add fields and kinds; unknown ones are ignored."""

    origin: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
    counts: dict[str, list[Count]] = {}
    whole: bool = False
    """The counts are all that the origin knows, for one that asked."""
    asks: bool = False
    """The origin wants to know everything."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Report)


class Peers:
    """The other coordinators. With none there, counts are collected and dropped."""

    def __init__(self, origin: str | None = None) -> None:
        """`origin` identifies this process, in 32 hexadecimal digits; random by default."""
        self.origin = origin or secrets.token_hex(16)
        self.echoed = False
        """Whether a report of this coordinator has come back, as the broker should send it."""
        self._shared: dict[str, Counts] = {}
        self._heard_at: dict[str, float] = {}
        self._asks = self._tells_all = False
        self._alive_at = float("-inf")

    @property
    def coordinators(self) -> int:
        """How many coordinators there are, with this one."""
        return 1 + len(self._heard_at)

    def share(self, kind: str, counts: Counts) -> None:
        """Exchange these counts from now on. `kind` is the same at all coordinators."""
        self._shared[kind] = counts

    def connected(self) -> None:
        """Reports arrive from now on; before, some may have been missed."""
        self._asks = self._tells_all = True

    def heard(self, payload: bytes, now: float) -> None:
        """Take a report.

        Raises:
            InvalidReportError: it is invalid.
        """
        if len(payload) > MAX_REPORT:
            raise InvalidReportError(f"longer than {MAX_REPORT:,} bytes")
        try:
            report = _DECODER.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidReportError(str(error)) from None
        if report.origin == self.origin:
            self.echoed = True
            return
        # All of it is checked before any of it counts.
        known = [kind for kind in report.counts if kind in self._shared]
        for kind in known:
            for count in report.counts[kind]:
                if len(count.key) != self._shared[kind].key_parts:
                    raise InvalidReportError(f"a key of {kind} has {len(count.key)} parts")
        if report.origin not in self._heard_at:
            if len(self._heard_at) >= MAX_PEERS:
                raise InvalidReportError(f"more than {MAX_PEERS} coordinators")
            self._alive_at, self._tells_all = float("-inf"), True
        self._heard_at[report.origin] = now
        self._tells_all |= report.asks
        for kind in known:
            for count in report.counts[kind]:
                self._shared[kind].heard(report.origin, count, now, whole=report.whole)

    def to_send(self, now: float) -> Iterator[bytes]:
        """The reports that are due. Call it every `REPORT_EVERY_S` while connected."""
        self._expire(now)
        shared = self._shared.items()
        changes = [(kind, count) for kind, each in shared for count in each.changes(now)]
        asks, self._asks = self._asks, False
        tells_all, self._tells_all = self._tells_all, False
        if self._heard_at:
            yield from self._reports(changes, whole=False)
            if tells_all:
                whole = [(kind, count) for kind, each in shared for count in each.everything()]
                yield from self._reports(whole, whole=True)
        if asks or now - self._alive_at >= ALIVE_EVERY_S:
            self._alive_at = now
            yield _ENCODER.encode(_Report(self.origin, asks=asks))

    def _reports(self, counts: list[tuple[str, Count]], *, whole: bool) -> Iterator[bytes]:
        for first in range(0, len(counts), _COUNTS):
            part: dict[str, list[Count]] = {}
            for kind, count in counts[first : first + _COUNTS]:
                part.setdefault(kind, []).append(count)
            yield _ENCODER.encode(_Report(self.origin, part, whole))

    def _expire(self, now: float) -> None:
        for origin in [o for o, at in self._heard_at.items() if now - at > GONE_AFTER_S]:
            del self._heard_at[origin]
            for shared in self._shared.values():
                shared.gone(origin)
