"""Views of one line of a table, as a trace and as its probes, for rules that need an object."""

from collections.abc import Sequence

import numpy as np
from colotrace_proto.messages import NodeKind

from colotrace_agent.engine.refusals import Refuser, settle
from colotrace_agent.engine.rules import DOUBTFUL, is_waited_for
from colotrace_agent.engine.verdict import refusal_label
from colotrace_agent.model import Counters, Flow, MissingNeighbour, Reply, TraceSpec

from .table import Table


class Line:
    """A trace in a table, with the names of `engine.trace.Trace`; valid until the line is freed.

    Only the methods for `engine.limits.spacing` may be called afterwards.
    """

    def __init__(self, table: Table, number: int, *, limiting: Sequence[int] = ()) -> None:
        self.table = table
        self.number = number
        self.limiting = limiting
        self._generation = int(table.generation[number])

    @property
    def spec(self) -> TraceSpec:
        """The options of all traces of the table."""
        return self.table.spec

    @property
    def target(self) -> bytes:
        """The packed target address."""
        address: bytes = self.table.targets[self.number].tobytes()
        return address

    @property
    def started(self) -> int:
        """Start time."""
        return int(self.table.started[self.number])

    @property
    def ended(self) -> int:
        """End time; 0 while the trace runs."""
        return int(self.table.ended[self.number])

    @property
    def reached(self) -> bool:
        """Whether the target answered."""
        return bool(self.table.target_ttl[self.number] <= self.spec.max_ttl)

    @property
    def counters(self) -> Counters:
        """Counts of packets that do not count as answers."""
        return self.table.counters(self.number)

    @property
    def end_ttl(self) -> int:
        """The last TTL that is reported."""
        return int(self.table.ends_at(np.array([self.number]))[0])

    def hops(self) -> range:
        """The TTLs that are reported."""
        return range(1, self.end_ttl + 1)

    @property
    def sent(self) -> list[int]:
        """Sent probes at TTL 1, 2, 3 …"""
        counts: list[int] = self.table.sent[self.number].tolist()
        return counts

    def answers(self, ttl: int) -> int:
        """How many probes of that TTL were answered."""
        return int(self.table.answers[self.number, ttl - 1])

    @property
    def path(self) -> dict[int, bytes]:
        """The address of the last answer at each TTL."""
        return {reply.ttl: reply.address for reply in self.replies if reply.kind is not _BARRIER}

    @property
    def replies(self) -> list[Reply]:
        """The answers, in the order of their probes. Doubtful refusals are included
        after `settle`."""
        table, number = self.table, self.number
        sure = table.answered[number] & (table.kind[number] != DOUBTFUL)
        ordinals: list[int] = np.nonzero(sure)[0].tolist()
        return [
            self._reply(ordinal, NodeKind(int(table.kind[number, ordinal]))) for ordinal in ordinals
        ]

    def _reply(self, ordinal: int, kind: NodeKind) -> Reply:
        table, number = self.table, self.number
        aside = table.asides.get(number)
        return Reply(
            int(table.ttl_of[number, ordinal]),
            int(table.rtt[number, ordinal]),
            table.who[number, ordinal].tobytes(),
            kind,
            aside.labels.get(ordinal, ()) if aside is not None else (),
        )

    def settle(self) -> None:
        """Attributes the doubtful refusals to the target or a firewall, after all answers."""
        table, number = self.table, self.number
        of_doubt = table.answered[number] & (table.kind[number] == DOUBTFUL)
        ordinals: list[int] = np.nonzero(of_doubt)[0].tolist()
        label = refusal_label(table.family)
        doubtful = [self._reply(ordinal, NodeKind.BARRIER) for ordinal in ordinals]
        settled = settle(
            [reply._replace(labels=(label, *reply.labels)) for reply in doubtful],
            self.replies,
            source=table.sources[number].tobytes(),
            target=self.target,
        )
        aside = table.aside(number)
        for ordinal, reply in zip(ordinals, settled.replies, strict=True):
            table.kind[number, ordinal] = reply.kind
            aside.labels[ordinal] = reply.labels
            if reply.kind is NodeKind.TARGET:
                table.target_ttl[number] = min(int(table.target_ttl[number]), reply.ttl)
        end = self.end_ttl
        aside.uncertain = tuple(each for each in settled.uncertain if each.ttl <= end)

    @property
    def send_errors(self) -> dict[int, int]:
        """The number of unsent probes, by errno."""
        aside = self.table.asides.get(self.number)
        return aside.send_errors if aside is not None else {}

    @property
    def obstacle(self) -> MissingNeighbour | None:
        """The missing neighbour that kept them from being sent, if it is known."""
        aside = self.table.asides.get(self.number)
        return aside.obstacle if aside is not None else None

    @property
    def spared(self) -> set[int]:
        """TTLs at which probes were left out to spare a router."""
        aside = self.table.asides.get(self.number)
        return {ttl for ttl in aside.spared if ttl in self.hops()} if aside is not None else set()

    @property
    def unplaced(self) -> int:
        """Answers of the target that name no probe."""
        aside = self.table.asides.get(self.number)
        return aside.unplaced if aside is not None else 0

    @property
    def uncertain(self) -> tuple[Refuser, ...]:
        """Refusers that may be the target or a firewall."""
        aside = self.table.asides.get(self.number)
        return aside.uncertain if aside is not None else ()

    @property
    def clock_stepped(self) -> bool:
        """Whether the wall clock was set during the trace."""
        aside = self.table.asides.get(self.number)
        return aside is not None and aside.clock_stepped

    @property
    def detour(self) -> bool:
        """Whether probes may have used another next hop than the host's other such traffic."""
        aside = self.table.asides.get(self.number)
        return aside is not None and aside.detour

    @property
    def overflows(self) -> int:
        """Packets that the host dropped during the trace because its queue was full."""
        return int(self.table.overflows[self.number])

    @property
    def unstamped(self) -> int:
        """Answers to probes without a departure time from the kernel."""
        answered, stamped = self.table.answered[self.number], self.table.stamped[self.number]
        return int((answered & ~stamped).sum())

    # For `engine.limits.spacing`.

    def wants_late(self, ttl: int) -> bool:
        """Whether a deferred probe of this TTL is still wanted."""
        if self._is_free or self.ended:
            return False
        return bool(ttl <= self.table.target_ttl[self.number])

    def spare(self, ttl: int, *, limited: bool) -> None:
        """Drops a deferred probe."""
        if self._is_free:
            return
        self.table.put_off[self.number] -= 1
        if limited and ttl <= self.table.target_ttl[self.number]:
            self.table.aside(self.number).spared.add(ttl)

    @property
    def _is_free(self) -> bool:
        """Whether the line has been freed."""
        return bool(self.table.generation[self.number] != self._generation)


class LineProbes:
    """A line's probes, as the protocol of `engine.placing`."""

    def __init__(self, table: Table, number: int, flow: Flow) -> None:
        self.flow = flow
        self.is_over = bool(table.ended[number])
        self._table = table
        self._number = number

    @property
    def counters(self) -> Counters:
        """Counts of packets that do not count as answers."""
        return self._table.counters(self._number)

    @property
    def taken(self) -> int:
        """Probes that have been handed out for sending."""
        return int(self._table.taken[self._number])

    @property
    def left(self) -> int:
        """Sent probes."""
        return int(self._table.sent[self._number].sum())

    @property
    def target_ttl(self) -> int:
        """The lowest TTL at which the target answered; above the maximum if it did not."""
        return int(self._table.target_ttl[self._number])

    @property
    def furthest(self) -> int:
        """The highest TTL with an answer; 0: none."""
        answered = np.nonzero(self._table.answers[self._number])[0]
        return int(answered[-1]) + 1 if len(answered) else 0

    @property
    def unplaced(self) -> int:
        """Answers of the target that name no probe."""
        return self._table.aside(self._number).unplaced

    @unplaced.setter
    def unplaced(self, count: int) -> None:
        self._table.aside(self._number).unplaced = count

    def ttl_of(self, ordinal: int) -> int:
        """The probe's TTL."""
        return int(self._table.ttl_of[self._number, ordinal])

    def has_left(self, ordinal: int) -> bool:
        """Whether the probe was sent and did not fail on the host."""
        return bool(self._table.sent_at[self._number, ordinal])

    def is_answered(self, ordinal: int) -> bool:
        """Whether the probe has been answered."""
        return bool(self._table.answered[self._number, ordinal])

    def waiting(self, at: int) -> list[int]:
        """Unanswered probes whose wait had not expired at this time."""
        table, number = self._table, self._number
        silent = is_waited_for(
            table.sent_at[number], table.answered[number], at=at, wait_ns=table.spec.wait_ns
        )
        ordinals: list[int] = np.nonzero(silent)[0].tolist()
        return ordinals


_BARRIER = NodeKind.BARRIER
