"""What the events of a running measurement add up to."""

from dataclasses import dataclass, field

import msgspec
from colotrace_proto.rows import ColoRow, Hop, TargetRow

from colotrace_cli.api.shapes import Answer, Measurement, Message

_MOST_MESSAGES = 10_000


class _Start(msgspec.Struct, frozen=True):
    measurement: Measurement


class _Hops(msgspec.Struct, frozen=True):
    target: int
    colo: int
    hops: list[Hop]
    fresh: bool = False


class _Row(msgspec.Struct, frozen=True):
    target: int
    colo: int
    row: ColoRow


Place = tuple[int, int]
"""Indexes of target and colo."""


@dataclass(slots=True)
class Live:
    """A measurement as far as it is known. Events may be repeated: each states what now holds, and
    after another `start` all that holds comes again."""

    measurement: Measurement | None = None
    hops: dict[Place, dict[int, Hop]] = field(default_factory=dict)
    """The hops so far of each row that has not ended, by TTL."""
    rows: dict[Place, ColoRow] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    ended: bool = False

    def take(self, kind: str, data: bytes) -> None:
        """Take an event; unknown kinds and rows that were not asked for are ignored.

        Raises:
            ValueError: the data does not have the API's format.
        """
        match kind:
            case "start":
                self._begin(msgspec.json.decode(data, type=_Start).measurement)
            case "end":
                self.measurement = msgspec.json.decode(data, type=_Start).measurement
                self.ended = True
            case "hops":
                self._hops(msgspec.json.decode(data, type=_Hops))
            case "row":
                self._row(msgspec.json.decode(data, type=_Row))
            case "message":
                message = msgspec.json.decode(data, type=Message)
                if message not in self.messages and len(self.messages) < _MOST_MESSAGES:
                    self.messages.append(message)

    @property
    def whole(self) -> bool:
        """Whether it has ended and every row is here."""
        return self.ended and len(self.rows) == len(self.places())

    def places(self) -> list[Place]:
        """The rows that were asked for, in the answer's order."""
        asked = self.measurement
        if asked is None:
            return []
        return [(t, c) for t in range(len(asked.targets)) for c in range(len(asked.colos))]

    def answer(self) -> Answer:
        """The rows that have ended, in the answer's order."""
        targets = self.measurement.targets if self.measurement else []
        found = [
            TargetRow(
                target=target, colos=[self.rows[at] for at in sorted(self.rows) if at[0] == t]
            )
            for t, target in enumerate(targets)
        ]
        return Answer(found, self.messages, self.measurement)

    def _asked(self, target: int, colo: int) -> bool:
        asked = self.measurement
        return (
            asked is not None and 0 <= target < len(asked.targets) and 0 <= colo < len(asked.colos)
        )

    def _begin(self, measurement: Measurement) -> None:
        self.measurement, self.ended = measurement, False
        self.hops.clear()
        self.rows.clear()
        self.messages.clear()

    def _hops(self, event: _Hops) -> None:
        place = (event.target, event.colo)
        if not self._asked(*place) or place in self.rows:
            return
        if event.fresh:
            self.hops[place] = {}
        known = self.hops.setdefault(place, {})
        known.update((hop.packets_ttl, hop) for hop in event.hops)

    def _row(self, event: _Row) -> None:
        place = (event.target, event.colo)
        if self._asked(*place):
            self.rows[place] = event.row
            self.hops.pop(place, None)
