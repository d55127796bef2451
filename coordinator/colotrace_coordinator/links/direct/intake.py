"""Limits on what an agent may send on its stream, applied before a message is decoded.

Decoding a message of 1 MiB takes the event loop tens of milliseconds. So a frame's job id is read
first: a frame of a job that the agent does not have is not decoded, and a frame of its own job is
bounded by what the job can yield. All other messages are small.

Messages that the agent was not asked for are limited by two token buckets: its own, and that of its
holder (the certificate or address), since an agent chooses its id itself. Each offer adds tokens
for the answers that it causes.
"""

from collections.abc import Callable, Iterator

import grpc
from colotrace_proto.codec import parse_from_agent
from colotrace_proto.codec.batches import split_agent_batch
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.codec.frames import frame_job
from colotrace_proto.messages import FromAgent, JobId

from colotrace_coordinator.shares import TokenBuckets

from .stream import StreamClosedError

MAX_PLAIN_BYTES = 16_384
"""Largest message that is neither a frame nor Hello; a refusal's text is the longest."""
BYTES_PER_UNIT = 2_048
"""A message costs one unit, and one more for each of this many bytes."""
HELLO_UNITS = 20
OFFER_UNITS = 8
"""Credit for an offer: its acceptance, and frames that arrive after the job has ended."""
EXCESS_S = 10.0
"""How long an agent is rejected after it has exceeded a limit."""

Holder = str
Origin = tuple[Holder, str, str]
"""Holder, colo and id: the key of an agent's token bucket, over all its streams."""


def cost(payload: bytes) -> int:
    """Cost of a message, in units."""
    return 1 + len(payload) // BYTES_PER_UNIT


class Intake:
    """The token buckets of all agents. Rates are in units a second."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        agent_rate: float = 200,
        agent_burst: float = 4_000,
        holder_rate: float = 1_000,
        holder_burst: float = 16_000,
    ) -> None:
        self._clock = clock
        self._agents: TokenBuckets[Origin] = TokenBuckets(rate=agent_rate, burst=agent_burst)
        self._holders: TokenBuckets[Holder] = TokenBuckets(rate=holder_rate, burst=holder_burst)

    def hello(self, holder: Holder, payload: bytes) -> FromAgent | None:
        """Decode the first message of a stream.

        Raises:
            StreamClosedError: the holder begins too many streams, or the message is invalid.
        """
        now = self._clock()
        if not self._holders.spend(holder, HELLO_UNITS + cost(payload), now):
            raise _excess("too many streams have begun")
        if _frame_job(payload) is not None:
            return None
        return _decoded(payload)

    def admit(self, agent: Origin) -> None:
        """Check that the agent may attach.

        Raises:
            StreamClosedError: it has exceeded its limit recently.
        """
        if not self._agents.spend(agent, 1, self._clock()):
            raise _excess("the agent has sent more than it may")

    def offered(self, agent: Origin, offers: int = 1) -> None:
        """Credit the agent and its holder for the answers to so many offers."""
        now = self._clock()
        self._agents.credit(agent, offers * OFFER_UNITS, now)
        self._holders.credit(agent[0], offers * OFFER_UNITS, now)

    def messages(
        self,
        agent: Origin,
        payload: bytes,
        *,
        due: Callable[[JobId, int], bool | None],
        stray: Callable[[JobId], None],
    ) -> Iterator[FromAgent]:
        """Decode the messages that arrived as one, each when it is asked for, without those of
        unknown kinds and frames of no job.

        `due`: see `StreamEvents.frame_due`. `stray` is called with the job id of a frame whose job
        the agent does not have.

        Raises:
            StreamClosedError: a message is too large or invalid, or they exceed a limit.
        """
        try:
            parts = [(frame_job(part), part) for part in split_agent_batch(payload)]
        except ProtocolError as error:
            raise _invalid(str(error)) from error
        units = sum(cost(part) for job_id, part in parts if job_id is None)
        if units:
            self._spend(agent, units)
        for job_id, part in parts:
            if self._wanted(agent, job_id, part, due=due, stray=stray):
                message = _decoded(part)
                if message is not None:
                    yield message

    def _wanted(
        self,
        agent: Origin,
        job_id: JobId | None,
        part: bytes,
        *,
        due: Callable[[JobId, int], bool | None],
        stray: Callable[[JobId], None],
    ) -> bool:
        """Whether to decode a message. `job_id` is that of a frame, and None for another one."""
        if job_id is None:
            if len(part) > MAX_PLAIN_BYTES:
                raise _invalid(f"a message of {len(part):,} bytes that is no frame")
            return True
        wanted = due(job_id, len(part))
        if wanted is None:
            self._spend(agent, cost(part))
            stray(job_id)
            return False
        if not wanted:
            raise _invalid(f"a frame of {len(part):,} bytes is more than the job can yield")
        return True

    def _spend(self, agent: Origin, units: int) -> None:
        now = self._clock()
        if not self._agents.spend(agent, units, now):
            self._agents.empty(agent, now, for_s=EXCESS_S)
            raise _excess("the agent sends more than it was asked for")
        if not self._holders.spend(agent[0], units, now):
            self._agents.empty(agent, now, for_s=EXCESS_S)
            raise _excess("the agents of this certificate or address send too much")


def _frame_job(payload: bytes) -> JobId | None:
    try:
        return frame_job(payload)
    except ProtocolError as error:
        raise _invalid(str(error)) from error


def _decoded(payload: bytes) -> FromAgent | None:
    try:
        return parse_from_agent(payload)
    except ProtocolError as error:
        raise _invalid(str(error)) from error


def _invalid(detail: str) -> StreamClosedError:
    return StreamClosedError(grpc.StatusCode.INVALID_ARGUMENT, detail)


def _excess(detail: str) -> StreamClosedError:
    return StreamClosedError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{detail}; wait {EXCESS_S:g} s")
