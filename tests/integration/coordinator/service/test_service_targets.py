"""What one target gets is bounded: the rows, through real streams and scripted agents."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from colotrace_coordinator.jobs.target_rates import TargetLimits
from colotrace_proto.codes import Code, RowCode, row_failed
from colotrace_proto.measured import Options
from colotrace_proto.messages import (
    Accepted,
    Ack,
    Cancel,
    Failure,
    Family,
    Frame,
    Job,
    Outcome,
    RefusalReason,
    Refused,
)
from integration.coordinator.service.traced import Coordinator, Whole, only, soon
from unit.coordinator.scripted_agent import TARGET, ScriptedAgent, path

SLOW = TargetLimits(of_account=45, in_all=90)
"""One trace of 45 packets a second, and one more at once."""


@asynccontextmanager
async def limited(limits: TargetLimits) -> AsyncIterator[tuple[Coordinator, ScriptedAgent]]:
    async with AsyncExitStack() as stack:
        coordinator = Coordinator(stack, limits=limits)
        coordinator.port = await coordinator.link.start()
        stack.push_async_callback(coordinator.link.stop)
        yield coordinator, await coordinator.agent()


async def test_row_that_started_later_for_the_limit_says_so() -> None:
    async with limited(SLOW) as (coordinator, agent):
        # Two that are not identical, so that they do not share a trace, go at once.
        answers = [coordinator.begin(options=Options(wait_ms=wait)) for wait in (900, 901, 902)]
        jobs = [await agent.take(), await agent.take()]
        third = asyncio.create_task(agent.take())
        jobs.append(await soon(third))
        for job in jobs:
            await agent.say(path(job.job_id))
        first, second, last = [await soon(answer) for answer in answers]
        assert first.messages == second.messages == []
        (message,) = last.messages
        assert (message.code, message.pointer) == (Code.ROW_NOTICE, "/result/0/colos/0")
        # A busy machine takes a moment more.
        assert re.fullmatch(
            r"den01: started [1-9]\.\d s later, "
            "because of the limit of packets a second to one target",
            message.message,
        )
        assert only(last).error == ""
        assert coordinator.number("colotrace_jobs_limited_total") == 1


async def test_row_that_got_no_time_tells_the_limit() -> None:
    async with limited(TargetLimits(of_account=5, in_all=10)) as (coordinator, agent):
        begun = coordinator.begin(options=Options(wait_ms=900))
        job = await agent.take()
        answered = await soon(coordinator.begin(spent_s=21.5))
        assert only(answered).error.endswith("Code 2")
        (message,) = answered.messages
        assert message.code == row_failed(RowCode.LOST)
        assert message.message.startswith(
            "den01: the limit of 5 packets a second to one target (10 for all accounts) left"
        )
        await agent.say(path(job.job_id))
        await soon(begun)
        waited_for = {"waited_for": "target"}
        assert coordinator.number("colotrace_jobs_not_started_total", **waited_for) == 1


async def test_names_of_one_address_share_its_rate() -> None:
    """An agent that tells the address before it probes is given the job again when it is time."""
    async with limited(SLOW) as (coordinator, agent):
        answer = coordinator.begin(*(f"{number}.example" for number in range(3)))
        jobs = [await agent.take() for _ in range(3)]
        for job in jobs:
            await agent.say(Frame(job.job_id, 1, TARGET))
        assert await agent.expect(Cancel) == Cancel(jobs[2].job_id)
        again = await agent.take()
        assert (again.target, again.job_id != jobs[2].job_id) == ("2.example", True)
        await agent.say(Frame(again.job_id, 1, TARGET), path(again.job_id, 2))
        for job in jobs[:2]:
            await agent.say(path(job.job_id, 2))
        answered = await soon(answer)
        assert [row.colos[0].error for row in answered.rows] == ["", "", ""]
        (message,) = answered.messages
        assert message.pointer == "/result/2/colos/0"
        assert re.match(r"den01: started [1-9]\.\d s later", message.message)
        assert coordinator.number("colotrace_jobs_moved_total") == 0


async def test_job_that_is_taken_back_in_its_last_second_ends() -> None:
    """It is too late to start it again: its row tells the limit, at once."""
    async with limited(TargetLimits(of_account=5, in_all=10)) as (coordinator, agent):
        first = coordinator.begin("8.8.8.8")
        await agent.say(path((await agent.take()).job_id, failure=None))
        # 1.3 s for the job. After 0.3 s it may not be started any more.
        answer = coordinator.begin("a.example", spent_s=22.2)
        job = await agent.take()
        await agent.say(Accepted(job.job_id))
        await asyncio.sleep(0.5)
        await agent.say(Frame(job.job_id, 1, TARGET))
        assert await agent.expect(Cancel) == Cancel(job.job_id)
        (message,) = (await soon(answer)).messages
        assert message.message.startswith("den01: the limit of 5 packets a second to one target")
        first.cancel()


async def test_job_of_a_name_that_has_probed_goes_on() -> None:
    """Agents of release 0.2 tell the address with their first replies. The packets count."""
    async with limited(SLOW) as (coordinator, agent):
        answer = coordinator.begin(*(f"{number}.example" for number in range(3)))
        jobs = [await agent.take() for _ in range(3)]
        for job in jobs:
            await agent.say(path(job.job_id, failure=None))
            assert await agent.expect(Ack) == Ack(job.job_id, 1)
        later = coordinator.begin("8.8.8.8")
        offered = asyncio.create_task(agent.expect(Job))
        for job in jobs:
            await agent.say(Frame(job.job_id, 2, sent=(15, 15, 15), outcome=path("x").outcome))
        answered = await soon(answer)
        assert answered.messages == []
        assert (await soon(offered)).target == "8.8.8.8"
        await agent.say(path((await offered).job_id))
        (message,) = (await soon(later)).messages
        assert message.message.startswith("den01: started ")


RARE = TargetLimits(of_account=4.5, in_all=90)
"""One trace of 45 packets in ten seconds."""


def _two(coordinator: Coordinator, target: str) -> list[asyncio.Task[Whole]]:
    """Two traces that are not identical; one may start."""
    return [coordinator.begin(target, options=Options(wait_ms=wait)) for wait in (900, 901)]


async def test_name_has_its_packets_back_once_its_address_is_known() -> None:
    async with limited(RARE) as (coordinator, agent):
        answers = _two(coordinator, "a.example")
        first = await agent.take()
        await agent.say(Frame(first.job_id, 1, bytes((192, 0, 2, 1))))
        second = await soon(agent.take())
        await agent.say(path(first.job_id, 2), path(second.job_id))
        assert [only(await soon(answer)).error for answer in answers] == ["", ""]


async def test_failed_job_gives_back_what_it_has_not_sent() -> None:
    """Its agent reports that the name does not resolve: nothing was sent."""
    async with limited(RARE) as (coordinator, agent):
        answers = _two(coordinator, "a.example")
        job = await agent.take()
        await agent.say(Frame(job.job_id, 1, outcome=Outcome(Failure.UNRESOLVABLE)))
        second = await soon(agent.take())
        await agent.say(path(second.job_id))
        errors = [only(await soon(answer)).error for answer in answers]
        assert [error[-6:] for error in errors] == ["Code 3", ""]


async def test_refused_job_gives_back_what_it_has_not_sent() -> None:
    async with limited(RARE) as (coordinator, agent):
        answers = _two(coordinator, "8.8.8.8")
        job = await agent.expect(Job)
        await agent.say(Refused(job.job_id, RefusalReason.UNSUPPORTED))
        second = await soon(agent.take())
        await agent.say(path(second.job_id))
        errors = [only(await soon(answer)).error for answer in answers]
        assert [error[-6:] for error in errors] == ["Code 1", ""]


async def test_address_of_the_other_family_is_an_error_of_its_row_alone() -> None:
    async with limited(TargetLimits(of_account=1e9, in_all=1e9)) as (coordinator, agent):
        six = Options(family=Family.IPV6, max_ttl=1)
        answer = await soon(coordinator.begin("8.8.8.8", "1.1.1.1", options=six))
        for target in answer.rows:
            assert target.colos[0].error.endswith("Code 3")
        assert [message.message for message in answer.messages] == [
            "8.8.8.8 is an IPv4 address, and IPv6 was asked for",
            "1.1.1.1 is an IPv4 address, and IPv6 was asked for",
        ]
        # An address has its family: the same job, whether the request names it or not.
        plain, four = Options(), Options(family=Family.IPV4)
        answers = [coordinator.begin(options=options) for options in (plain, four)]
        job = await agent.take()
        assert job.family is None
        await agent.say(path(job.job_id))
        for each in answers:
            assert only(await soon(each)).error == ""


async def test_name_is_resolved_to_the_family_by_the_agent() -> None:
    async with limited(TargetLimits(of_account=1e9, in_all=1e9)) as (coordinator, agent):
        answer = coordinator.begin("web.example", options=Options(family=Family.IPV4))
        job = await agent.take()
        assert (job.target, job.family) == ("web.example", Family.IPV4)
        await agent.say(path(job.job_id))
        assert only(await soon(answer)).error == ""
