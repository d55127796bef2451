"""Views of one line of `Columns`, as a trace and as its probes, for rules that need an object."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from colotrace_proto.messages import FlowFields, NodeKind
from colotrace_proto.notices import Notice

from colotrace_agent.engine.notices import Caveats
from colotrace_agent.engine.refusals import settle
from colotrace_agent.engine.rules import DOUBTFUL, is_waited_for
from colotrace_agent.engine.verdict import refusal_label
from colotrace_agent.model import Counters, Flow, Ordinal, Reply, TraceSpec, Ttl

from .columns import Aside, Columns


class TraceView:
    """A trace in `Columns`, with the names of `engine.trace.Trace`; valid until the line is freed.

    Only the methods for `engine.limits.spacing` may be called afterwards.
    """

    def __init__(self, columns: Columns, number: int, *, limiting: Sequence[int] = ()) -> None:
        self.columns = columns
        self.number = number
        self._limiting = limiting
        self._generation = int(columns.generation[number])

    @property
    def spec(self) -> TraceSpec:
        """The options of all traces of the store."""
        return self.columns.spec

    @property
    def target(self) -> bytes:
        """The packed target address."""
        address: bytes = self.columns.targets[self.number].tobytes()
        return address

    @property
    def started(self) -> int:
        """Start time."""
        return int(self.columns.started[self.number])

    @property
    def ended(self) -> int:
        """End time; 0 while the trace runs."""
        return int(self.columns.ended[self.number])

    @property
    def reached(self) -> bool:
        """Whether the target answered."""
        return bool(self.columns.target_ttl[self.number] <= self.spec.max_ttl)

    @property
    def counters(self) -> Counters:
        """Counts of packets that do not count as answers."""
        return self.columns.counters(self.number)

    @property
    def source(self) -> bytes:
        """The packed source address of the probes."""
        source: bytes = self.columns.sources[self.number].tobytes()
        return source

    @property
    def flows(self) -> tuple[FlowFields, ...]:
        """None: frames of bulk traces are only shown, and do not show header fields."""
        return ()

    @property
    def end_ttl(self) -> int:
        """The last TTL that is reported."""
        return int(self.columns.ends_at(np.array([self.number]))[0])

    @property
    def sent(self) -> list[int]:
        """Sent probes at TTL 1, 2, 3 …"""
        counts: list[int] = self.columns.sent[self.number].tolist()
        return counts

    @property
    def answers(self) -> list[int]:
        """Answered probes at TTL 1, 2, 3 …"""
        counts: list[int] = self.columns.answers[self.number].tolist()
        return counts

    @property
    def path(self) -> dict[int, bytes]:
        """The address of the last answer at each TTL."""
        return {
            reply.ttl: reply.address for reply in self.replies if reply.kind is not NodeKind.BARRIER
        }

    @property
    def replies(self) -> list[Reply]:
        """The answers, in the order of their probes. Doubtful refusals are included
        after `settle`."""
        columns, number = self.columns, self.number
        sure = columns.answered[number] & (columns.kind[number] != DOUBTFUL)
        ordinals: list[int] = np.nonzero(sure)[0].tolist()
        return [
            self._reply(ordinal, NodeKind(int(columns.kind[number, ordinal])))
            for ordinal in ordinals
        ]

    def _reply(self, ordinal: int, kind: NodeKind) -> Reply:
        columns, number = self.columns, self.number
        return Reply(
            int(columns.ttl_of[number, ordinal]),
            int(columns.rtt[number, ordinal]),
            columns.who[number, ordinal].tobytes(),
            kind,
            self._aside.labels.get(ordinal, ()),
            ordinal,
        )

    def settle(self) -> None:
        """Attributes the doubtful refusals to the target or a firewall, after all answers."""
        columns, number = self.columns, self.number
        of_doubt = columns.answered[number] & (columns.kind[number] == DOUBTFUL)
        ordinals: list[int] = np.nonzero(of_doubt)[0].tolist()
        label = refusal_label(columns.family)
        doubtful = [self._reply(ordinal, NodeKind.BARRIER) for ordinal in ordinals]
        settled = settle(
            [reply._replace(labels=(label, *reply.labels)) for reply in doubtful],
            self.replies,
            source=columns.sources[number].tobytes(),
            target=self.target,
        )
        aside = columns.aside(number)
        for ordinal, reply in zip(ordinals, settled.replies, strict=True):
            columns.kind[number, ordinal] = reply.kind
            aside.labels[ordinal] = reply.labels
            if reply.kind is NodeKind.TARGET:
                columns.target_ttl[number] = min(int(columns.target_ttl[number]), reply.ttl)
        end = self.end_ttl
        aside.caveats.uncertain = frozenset(each for each in settled.uncertain if each.ttl <= end)

    @property
    def _aside(self) -> Aside:
        """The rare values of the trace, for reading only."""
        return self.columns.asides.get(self.number, _NOTHING)

    @property
    def caveats(self) -> Caveats:
        """What happened beside the answers, for reading only."""
        caveats = self._aside.caveats
        return dataclasses.replace(
            caveats,
            limiting=self._limiting,
            spared=caveats.spared & {*range(1, self.end_ttl + 1)},
            overflows=int(self.columns.overflows[self.number]),
            unstamped=self.columns.unstamped(np.array([self.number])),
        )

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What to tell beside the row; none if nothing is out of the ordinary."""
        return tuple(self.caveats.notices(reached=self.reached))

    # For `engine.limits.spacing`.

    def wants_late(self, ttl: int) -> bool:
        """Whether a deferred probe of this TTL is still wanted."""
        if self._is_free or self.ended:
            return False
        return bool(ttl <= self.columns.target_ttl[self.number])

    def spare(self, ttl: int, *, limited: bool) -> None:
        """Drops a deferred probe."""
        if self._is_free:
            return
        self.columns.put_off[self.number] -= 1
        if limited and ttl <= self.columns.target_ttl[self.number]:
            self.columns.aside(self.number).caveats.spared.add(ttl)

    @property
    def _is_free(self) -> bool:
        """Whether the line has been freed."""
        return bool(self.columns.generation[self.number] != self._generation)


class ProbesView:
    """A line's probes, as the protocol of `engine.placing`."""

    def __init__(self, columns: Columns, number: int, flow: Flow) -> None:
        self.flow = flow
        self.ended = int(columns.ended[number]) or None
        self._columns = columns
        self._number = number

    @property
    def counters(self) -> Counters:
        """Counts of packets that do not count as answers."""
        return self._columns.counters(self._number)

    @property
    def taken(self) -> int:
        """Probes that have been handed out for sending."""
        return int(self._columns.taken[self._number])

    @property
    def sent(self) -> list[int]:
        """Sent probes at TTL 1, 2, 3 …"""
        counts: list[int] = self._columns.sent[self._number].tolist()
        return counts

    @property
    def target_ttl(self) -> int:
        """The lowest TTL at which the target answered; above the maximum if it did not."""
        return int(self._columns.target_ttl[self._number])

    @property
    def furthest(self) -> int:
        """The highest TTL with an answer; 0: none."""
        answered = np.nonzero(self._columns.answers[self._number])[0]
        return int(answered[-1]) + 1 if len(answered) else 0

    @property
    def caveats(self) -> Caveats:
        """What happened beside the answers."""
        return self._columns.aside(self._number).caveats

    def ttl_of(self, ordinal: Ordinal) -> Ttl:
        """The probe's TTL."""
        return Ttl(int(self._columns.ttl_of[self._number, ordinal]))

    def has_left(self, ordinal: Ordinal) -> bool:
        """Whether the probe was sent and did not fail on the host."""
        return bool(self._columns.sent_at[self._number, ordinal])

    def is_answered(self, ordinal: Ordinal) -> bool:
        """Whether the probe has been answered."""
        return bool(self._columns.answered[self._number, ordinal])

    def waiting(self, at: int) -> list[Ordinal]:
        """Unanswered probes whose wait had not expired at this time."""
        columns, number = self._columns, self._number
        silent = is_waited_for(
            columns.sent_at[number], columns.answered[number], at=at, wait_ns=columns.spec.wait_ns
        )
        return [Ordinal(ordinal) for ordinal in np.nonzero(silent)[0].tolist()]


_NOTHING = Aside()
