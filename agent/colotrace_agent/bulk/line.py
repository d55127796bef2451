"""One line of a table as what the rest of the engine calls a trace: for what few traces need."""

from collections.abc import Sequence

import numpy as np
from colotrace_proto.messages import NodeKind

from colotrace_agent.model import Counters, Reply, TraceSpec

from .table import Table


class Line:
    """A trace in a table; to be used until the line is freed. Names as in `engine.trace.Trace`."""

    def __init__(self, table: Table, number: int, *, limiting: Sequence[int] = ()) -> None:
        self.table = table
        self.number = number
        self.limiting = limiting
        self.counters = Counters()

    @property
    def spec(self) -> TraceSpec:
        """What all traces of the table have in common."""
        return self.table.spec

    @property
    def target(self) -> bytes:
        """What is traced, packed."""
        address: bytes = self.table.targets[self.number].tobytes()
        return address

    @property
    def started(self) -> int:
        """When it began."""
        return int(self.table.started[self.number])

    @property
    def ended(self) -> int:
        """When it ended; 0 while it has not."""
        return int(self.table.ended[self.number])

    @property
    def reached(self) -> bool:
        """Whether the target answered."""
        return bool(self.table.target_ttl[self.number] <= self.spec.max_ttl)

    def hops(self) -> range:
        """The TTLs of interest."""
        return range(1, int(self.table.ends_at(np.array([self.number]))[0]) + 1)

    @property
    def sent(self) -> list[int]:
        """Probes that left, at TTL 1, 2, 3 …"""
        counts: list[int] = self.table.sent[self.number].tolist()
        return counts

    def answers(self, ttl: int) -> int:
        """How many probes of that TTL were answered."""
        return int(self.table.answers[self.number, ttl - 1])

    @property
    def path(self) -> dict[int, bytes]:
        """Who answered last at each TTL."""
        return {reply.ttl: reply.address for reply in self.replies if reply.kind is not _BARRIER}

    @property
    def replies(self) -> list[Reply]:
        """The answers, in the order of their probes."""
        table, number = self.table, self.number
        aside = table.asides.get(number)
        labels = aside.labels if aside is not None else {}
        ordinals = np.nonzero(table.answered[number])[0].tolist()
        return [
            Reply(
                int(table.ttl_of[number, ordinal]),
                int(table.rtt[number, ordinal]),
                table.who[number, ordinal].tobytes(),
                NodeKind(int(table.kind[number, ordinal])),
                labels.get(ordinal, ()),
            )
            for ordinal in ordinals
        ]

    @property
    def send_errors(self) -> dict[int, int]:
        """How many probes each errno kept from leaving."""
        aside = self.table.asides.get(self.number)
        return aside.send_errors if aside is not None else {}

    @property
    def obstacle(self) -> str:
        """Who or what on the host's own link was in their way, in words."""
        aside = self.table.asides.get(self.number)
        return aside.obstacle if aside is not None else ""

    @property
    def spared(self) -> set[int]:
        """Where a router was asked less than it should have been."""
        aside = self.table.asides.get(self.number)
        return {ttl for ttl in aside.spared if ttl in self.hops()} if aside is not None else set()

    @property
    def unplaced(self) -> int:
        """Answers of the target that name no probe."""
        aside = self.table.asides.get(self.number)
        return aside.unplaced if aside is not None else 0

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock was set under way."""
        aside = self.table.asides.get(self.number)
        return aside is not None and aside.clock_stepped

    @property
    def overflows(self) -> int:
        """Packets that the host had no room for meanwhile."""
        return int(self.table.overflows[self.number])

    @property
    def unstamped(self) -> int:
        """Answers whose probe's departure the kernel has not stamped."""
        answered, stamped = self.table.answered[self.number], self.table.stamped[self.number]
        return int((answered & ~stamped).sum())

    # What `engine.spacing` asks.

    def wants_late(self, ttl: int) -> bool:
        """Whether a probe of that TTL that was put off is still of interest."""
        return not self.ended and bool(ttl <= self.table.target_ttl[self.number])

    def spare(self, ttl: int, *, limited: bool) -> None:
        """A probe that was put off will not be sent."""
        self.table.put_off[self.number] -= 1
        if limited:
            self.table.aside(self.number).spared.add(ttl)


_BARRIER = NodeKind.BARRIER
