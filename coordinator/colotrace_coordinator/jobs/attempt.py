"""One attempt at a job: the job offered to one agent, and what has come back of it."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from colotrace_proto.messages import (
    Failure,
    FlowFields,
    Frame,
    JobId,
    Outcome,
    Replies,
)
from colotrace_proto.tally import merged

from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.link import MAX_FRAME_BYTES

from .sent_counts import SentCounts

_FRAME_BYTES = 65_536
_REPLY_BYTES = 1_200
"""A reply whose node has as many and as long labels as allowed, rounded up."""
_PROGRESS_FRAMES = 1_000
"""Frames without a new reply: one each 50 ms in the longest job, each sent twice."""

_UNCERTAIN = frozenset({Failure.INTERNAL, Failure.UNSPECIFIED})
"""A job that failed so may have sent more than its agent reports."""


class Taken(enum.Enum):
    """What became of a frame."""

    NEW = enum.auto()
    DUPLICATE = enum.auto()
    GAP = enum.auto()
    """Frames before it are missing."""
    EXCESS = enum.auto()
    """It reports more probes, or other probes, than the job has."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A job at an agent. Times are in seconds, on the clock of `now`.

    `most_replies` and `max_ttl` bound what an agent may send.
    """

    agent: AgentKey
    job_id: JobId
    offered_at: float
    most_replies: int
    max_ttl: int
    sent_counts: SentCounts
    shared: bool = False
    """Any agent of the colo may take it; `agent` is then only the one that was chosen first."""
    accepted_at: float | None = None
    ended_at: float | None = None
    heard_at: float = 0.0
    """When the agent last sent anything, as far as that was asked for."""
    down_since: float | None = None
    """Since when the agent's stream is down; None while it is up."""
    refused: bool = False
    extended_s: float = 0.0
    """How long the offer may stay unanswered, once `ACCEPT_S` was extended; else 0."""
    last_sequence: int = 0
    gaps: int = 0
    target_address: bytes = b""
    source_address: bytes = b""
    flows: tuple[FlowFields, ...] = ()
    """Of all frames so far; indexed by `Replies.flow`."""
    sent: tuple[int, ...] = ()
    outcome: Outcome | None = None
    reply_count: int = 0
    _frames: int = 0
    _bytes: int = 0
    _replies: list[Replies] = field(default_factory=list)

    def admits(self, size: int) -> bool:
        """Count a frame of `size` bytes, sent again or not. False if the job cannot yield such a
        frame, as many frames, or as many bytes."""
        largest = min(MAX_FRAME_BYTES, _FRAME_BYTES + self.most_replies * _REPLY_BYTES)
        self._frames += 1
        self._bytes += size
        return (
            size <= largest
            and self._frames <= self.most_replies + _PROGRESS_FRAMES
            and self._bytes <= 2 * largest + MAX_FRAME_BYTES
        )

    def take(self, frame: Frame, now: float) -> Taken:
        """Add a frame. One that is not new changes nothing but the count of gaps."""
        if frame.sequence <= self.last_sequence:
            return Taken.DUPLICATE
        if frame.sequence > self.last_sequence + 1:
            self.gaps += 1
            return Taken.GAP
        ttls = frame.replies.ttl
        if (
            self.reply_count + len(ttls) > self.most_replies
            or len(frame.sent) > self.max_ttl
            or max(ttls, default=0) > self.max_ttl
            or len(self.flows) + len(frame.flows) > self.most_replies
            or max(frame.replies.flow, default=-1) >= len(self.flows) + len(frame.flows)
        ):
            return Taken.EXCESS
        self.last_sequence = frame.sequence
        self.target_address = frame.target_address or self.target_address
        self.source_address = frame.source_address or self.source_address
        self.flows += frame.flows
        if frame.sent:
            self.sent = frame.sent
            self.sent_counts.report(now, frame.sent)
        if ttls:
            self.reply_count += len(ttls)
            self._replies.append(frame.replies)
        self.outcome = frame.outcome
        return Taken.NEW

    @property
    def all_sent(self) -> int | None:
        """Packets that the agent has sent, which it reports at the end; None if it did not."""
        if self.refused:
            return 0
        if self.outcome is None or self.outcome.failure in _UNCERTAIN:
            return None
        return sum(self.sent)

    @property
    def replies(self) -> Replies:
        """All replies so far in one table."""
        return merged(self._replies)

    @property
    def duration_ns(self) -> int:
        """How long the agent traced: as it reports, else from its acceptance to the end."""
        if self.outcome is not None:
            return self.outcome.duration_ns
        if self.accepted_at is None or self.ended_at is None:
            return 0
        return max(0, round((self.ended_at - self.accepted_at) * 1e9))


def furthest(attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt with the most replies; among equals the last one that began to trace."""
    return max(
        attempts,
        key=lambda a: (a.reply_count, bool(a.sent), bool(a.target_address), a.offered_at),
        default=None,
    )
