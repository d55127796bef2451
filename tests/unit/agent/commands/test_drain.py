"""An agent that stops finishes its jobs first."""

import asyncio

from colotrace_agent.commands.run import drain
from colotrace_agent.job.admission import Jobs
from colotrace_proto.messages import (
    Failure,
    Frame,
    RefusalReason,
    Refused,
)
from unit.agent.fakes import FakeProber, job, outcome_of, settle

ONE = bytes([1, 1, 1, 1])


class Told:
    """A link whose coordinators are told at once."""

    def changed(self) -> None:
        pass

    async def settled(self) -> None:
        pass


async def test_a_draining_agent_finishes_what_runs_and_takes_no_more(
    jobs: Jobs, prober: FakeProber
) -> None:
    """The last frame is out before it says that it is done."""
    frames: list[Frame] = []
    jobs.take(job(), frames.append)
    await settle()
    finishing = asyncio.create_task(drain(jobs, Told(), within_s=30))
    await settle()
    refused = jobs.take(job("job-2"), frames.append)
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.DRAINING
    assert not finishing.done()
    prober.end(ONE)
    await finishing
    assert outcome_of(frames) is Failure.NONE


async def test_a_drain_has_an_end(jobs: Jobs) -> None:
    """What still runs then is cancelled."""
    frames: list[Frame] = []
    jobs.take(job(), frames.append)
    await settle()
    await drain(jobs, Told(), within_s=0.01)
    assert outcome_of(frames) is Failure.CANCELLED
