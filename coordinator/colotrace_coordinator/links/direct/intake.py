"""What an agent may send on its stream, and how much of it, before anything is decoded.

To decode a message of 1 MiB takes the event loop tens of milliseconds. So a frame's job id is read
first: a frame of a job that the agent does not have is not decoded, and one of a job that it has
is no larger than that job's answer can be. Everything else is small.

What the agent was not asked for is counted against budgets: its own, and that of its holder (the
certificate or address that it comes from), since it chooses its id itself. Frames of
its jobs are bounded by what a job can yield, and each offer adds what the other answers take.
"""

from collections.abc import Callable

import grpc
from colotrace_proto.codec import parse_from_agent
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.codec.frames import frame_job
from colotrace_proto.messages import FromAgent, JobId

from colotrace_coordinator.shares import Budgets

from .stream import StreamClosedError

MAX_PLAIN_BYTES = 16_384
"""Of a message that is neither a frame nor Hello; a refusal's text takes most."""
BYTES_PER_UNIT = 2_048
"""A message costs one unit, and another for each so many bytes."""
HELLO_UNITS = 20
OFFER_UNITS = 8
"""What an offer adds: its acceptance, and frames that come after the job has ended."""
EXCESS_S = 10.0
"""How long an agent or holder that has exceeded its budget is not listened to."""

Holder = str
Agent = tuple[Holder, str, str]
"""Holder, colo and id: what an agent's budget is kept under over its streams."""


def cost(payload: bytes) -> int:
    """Units of a message."""
    return 1 + len(payload) // BYTES_PER_UNIT


class Intake:
    """The budgets of all agents. `now` is in seconds."""

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
        self._agents: Budgets[Agent] = Budgets(rate=agent_rate, burst=agent_burst)
        self._holders: Budgets[Holder] = Budgets(rate=holder_rate, burst=holder_burst)

    def hello(self, holder: Holder, payload: bytes) -> FromAgent | None:
        """The first message of a stream, decoded.

        Raises:
            StreamClosedError: the holder says more of them than it may, or this is none.
        """
        now = self._clock()
        if not self._holders.spend(holder, HELLO_UNITS + cost(payload), now):
            raise _excess("too many streams have begun")
        if _frame_job(payload) is not None:
            return None
        return _decoded(payload)

    def admit(self, agent: Agent) -> None:
        """Returns if the agent may attach.

        Raises:
            StreamClosedError: it has sent too much a short while ago.
        """
        if not self._agents.spend(agent, 1, self._clock()):
            raise _excess("the agent has sent more than it may")

    def offered(self, agent: Agent) -> None:
        """The agent was offered a job."""
        self._agents.credit(agent, OFFER_UNITS, self._clock())

    def message(
        self,
        agent: Agent,
        payload: bytes,
        *,
        due: Callable[[JobId, int], bool | None],
        stray: Callable[[JobId], None],
    ) -> FromAgent | None:
        """A later message, decoded; None for one that is not known here, or not wanted.

        `due` tells whether the agent's job can yield a frame of so many bytes, None where it has
        no such job; `stray` is called with the id of such a job.

        Raises:
            StreamClosedError: it is too large, too much, or nothing that an agent says.
        """
        job_id = _frame_job(payload)
        if job_id is None:
            self._spend(agent, payload)
            if len(payload) > MAX_PLAIN_BYTES:
                raise _invalid(f"a message of {len(payload):,} bytes that is no frame")
            return _decoded(payload)
        wanted = due(job_id, len(payload))
        if wanted is None:
            self._spend(agent, payload)
            stray(job_id)
            return None
        if not wanted:
            raise _invalid(f"a frame of {len(payload):,} bytes is more than the job can yield")
        return _decoded(payload)

    def _spend(self, agent: Agent, payload: bytes) -> None:
        now, units = self._clock(), cost(payload)
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
