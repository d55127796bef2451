"""A job is accepted or refused at once; the target of an accepted one is looked up and judged."""

import errno
import ipaddress

import pytest
from colotrace_agent.engine.identity import NoFlowLeftError
from colotrace_agent.job.admission import Jobs
from colotrace_proto.addresses import is_public
from colotrace_proto.messages import (
    Accepted,
    Failure,
    Family,
    Frame,
    JobId,
    Owner,
    PacketType,
    RefusalReason,
    Refused,
    UnknownJob,
)
from colotrace_proto.notices import Notice, NoticeCode, sentence
from unit.agent.fakes import EmittingJobs, FakeProber, FakeResolver, job, outcome_of, settle

ONE, TWO = bytes([1, 1, 1, 1]), bytes([2, 2, 2, 2])


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("10.0.0.1", RefusalReason.POLICY),
        ("127.0.0.1", RefusalReason.POLICY),
        ("224.0.0.1", RefusalReason.POLICY),
        ("::1", RefusalReason.POLICY),
        ("2606:4700:4700::1111", RefusalReason.NO_FAMILY),
    ],
)
async def test_an_address_that_cannot_be_traced_is_refused_at_once(
    jobs: Jobs, prober: FakeProber, target: str, reason: RefusalReason
) -> None:
    """With the reason, in words too."""
    prober.families = frozenset({Family.IPV4})
    refused = jobs.take(job(target=target), list[Frame]().append)
    assert isinstance(refused, Refused)
    assert refused.reason is reason
    assert refused.notice is not None


@pytest.mark.parametrize(
    ("target", "family", "words"),
    [
        ("1.1.1.1", Family.IPV6, "1.1.1.1 is not an IPv6 address"),
        ("2606:4700:4700::1111", Family.IPV4, "2606:4700:4700::1111 is not an IPv4 address"),
    ],
)
async def test_address_of_another_family_than_the_jobs_is_refused(
    jobs: Jobs, prober: FakeProber, target: str, family: Family, words: str
) -> None:
    prober.families = frozenset(Family)
    refused = jobs.take(job(target=target, family=family), list[Frame]().append)
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.NO_FAMILY
    assert refused.notice is not None
    assert sentence(refused.notice) == words


async def test_name_of_a_family_that_the_host_lacks_is_refused_at_once(
    jobs: Jobs, prober: FakeProber
) -> None:
    prober.families = frozenset({Family.IPV4})
    asked = job(target="web.example", family=Family.IPV6)
    refused = jobs.take(asked, list[Frame]().append)
    lacks = Notice(NoticeCode.NO_FAMILY, families=(6,))
    assert refused == Refused(JobId("job-1"), RefusalReason.NO_FAMILY, lacks)


async def test_what_is_not_known_is_refused(jobs: Jobs) -> None:
    """A packet type, or a newer coordinator's wish."""
    unknown = UnknownJob(JobId("x"), Notice(NoticeCode.UNKNOWN_PACKET_TYPE, count=9))
    for asked in (unknown, job(packet_type=PacketType.GRE)):
        refused = jobs.take(asked, list[Frame]().append)
        assert isinstance(refused, Refused)
        assert refused.reason is RefusalReason.UNSUPPORTED


async def test_beyond_its_bound_the_agent_is_busy(jobs: Jobs, prober: FakeProber) -> None:
    """Until one has ended; one that runs already is accepted again."""
    for number in range(1, 6):
        assert isinstance(
            jobs.take(job(f"job-{number}", f"1.1.1.{number}"), list[Frame]().append), Accepted
        )
    await settle()
    refused = jobs.take(job("job-6"), list[Frame]().append)
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.BUSY
    assert isinstance(jobs.take(job("job-2"), list[Frame]().append), Accepted)
    assert len(jobs) == len(prober.traces) == 5
    prober.end(bytes([1, 1, 1, 3]))
    assert isinstance(jobs.take(job("job-6", "2.2.2.2"), list[Frame]().append), Accepted)
    jobs.cancel_all()


async def test_owner_with_its_share_is_refused_as_busy(
    prober: FakeProber, resolver: FakeResolver
) -> None:
    """Another owner's job is accepted; so is the first owner's once one of its jobs has ended."""
    types = frozenset({PacketType.ICMP})
    jobs = EmittingJobs(
        prober,  # type: ignore[arg-type]
        resolver,  # type: ignore[arg-type]
        packet_types=types,
        max_jobs=30,
        allow_private=False,
    )

    def offer(name: str, owner: Owner) -> Accepted | Refused:
        return jobs.take(job(name, f"1.1.1.{len(jobs)}", owner=owner), list[Frame]().append)

    answers = [offer(f"job-{number}", Owner(1, 1)) for number in range(30)]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert 0 < len(refused) < 5
    assert {answer.reason for answer in refused} == {RefusalReason.BUSY}
    assert {answer.notice.code for answer in refused if answer.notice} == {
        NoticeCode.SHARE_OF_JOBS_FULL
    }
    assert isinstance(offer("other", Owner(2, 2)), Accepted)
    assert isinstance(offer("job-30", Owner(1, 1)), Refused)
    for number in range(5):
        jobs.cancel(JobId(f"job-{number}"))
    assert isinstance(offer("job-30", Owner(1, 1)), Accepted)
    jobs.cancel_all()


@pytest.mark.parametrize(
    ("addresses", "families", "failure"),
    [
        ([], frozenset(Family), Failure.UNRESOLVABLE),
        ([bytes([10, 0, 0, 1])], frozenset(Family), Failure.POLICY),
        ([ONE], frozenset({Family.IPV6}), Failure.NO_FAMILY),
    ],
)
async def test_a_name_is_judged_by_what_it_comes_out_as(
    jobs: Jobs,
    prober: FakeProber,
    resolver: FakeResolver,
    addresses: list[bytes],
    families: frozenset[Family],
    failure: Failure,
) -> None:
    """The agent's own policy holds after resolution."""
    prober.families = families
    if addresses:
        resolver.names["www.example"] = addresses
    frames: list[Frame] = []
    assert isinstance(jobs.take(job(target="www.example"), frames.append), Accepted)
    await settle()
    assert outcome_of(frames) is failure
    assert frames[-1].outcome is not None
    assert frames[-1].outcome.cause is not None
    assert prober.traces == {}


async def test_the_first_address_of_a_working_family_is_traced(
    jobs: Jobs, prober: FakeProber, resolver: FakeResolver
) -> None:
    """Where the preferred one cannot be sent, the next is."""
    prober.families = frozenset({Family.IPV4})
    resolver.names["www.example"] = [bytes([0x26]) + bytes(15), TWO, ONE]
    jobs.take(job(target="www.example"), list[Frame]().append)
    await settle()
    assert set(prober.traces) == {TWO}
    jobs.cancel_all()


@pytest.mark.parametrize("family", Family)
async def test_name_is_traced_by_an_address_of_the_jobs_family(
    jobs: Jobs, prober: FakeProber, resolver: FakeResolver, family: Family
) -> None:
    """Also if the host prefers the other one."""
    six = bytes([0x26]) + bytes(15)
    prober.families = frozenset(Family)
    resolver.names["www.example"] = [six, ONE] if family is Family.IPV4 else [ONE, six]
    frames: list[Frame] = []
    jobs.take(job(target="www.example", family=family), frames.append)
    await settle()
    wanted = ONE if family is Family.IPV4 else six
    prober.end(wanted)
    assert frames[-1].target_address == wanted
    assert outcome_of(frames) is Failure.NONE


@pytest.mark.parametrize("options", [{}, {"multipath": True}, {"packet_type": PacketType.UDP}])
async def test_an_address_without_a_route_gives_way_to_the_next(
    jobs: Jobs,
    prober: FakeProber,
    resolver: FakeResolver,
    options: dict[str, bool | PacketType],
) -> None:
    """Whatever is traced; an address that may not be is passed over, too."""
    resolver.names["www.example"] = [bytes([0x26]) + bytes(15), bytes([10, 0, 0, 1]), TWO, ONE]
    prober.unrouted = {bytes([0x26]) + bytes(15)}
    frames: list[Frame] = []
    jobs.take(job(target="www.example", **options), frames.append)
    await settle()
    assert set(prober.traces) == {TWO}
    # The coordinator is told the preferred address before anything is sent.
    assert frames == [Frame(JobId("job-1"), 1, bytes([0x26]) + bytes(15))]
    jobs.cancel_all()


async def test_no_address_with_a_route(
    jobs: Jobs, prober: FakeProber, resolver: FakeResolver
) -> None:
    """Code 4, with the address that the host prefers."""
    resolver.names["www.example"] = [TWO, ONE]
    prober.unrouted = {ONE, TWO}
    frames: list[Frame] = []
    jobs.take(job(target="www.example"), frames.append)
    await settle()
    assert outcome_of(frames) is Failure.SEND
    assert frames[-1].target_address == TWO


@pytest.mark.parametrize(
    ("addresses", "failure"),
    [
        ([bytes([10, 0, 0, 1])], Failure.POLICY),
        ([bytes([127, 0, 0, 1]), bytes([224, 0, 0, 1])], Failure.POLICY),
        ([bytes([0xFC]) + bytes(15)], Failure.POLICY),
        ([bytes([0x26]) + bytes(15), bytes([10, 0, 0, 1])], Failure.NO_FAMILY),
    ],
)
async def test_what_a_name_resolves_to_is_not_told_where_it_may_not_be_traced(
    jobs: Jobs,
    prober: FakeProber,
    resolver: FakeResolver,
    addresses: list[bytes],
    failure: Failure,
) -> None:
    """Neither in the frame nor in words, whatever families the agent has."""
    prober.families = frozenset({Family.IPV4})
    resolver.names["www.example"] = addresses
    frames: list[Frame] = []
    jobs.take(job(target="www.example"), frames.append)
    await settle()
    assert outcome_of(frames) is failure
    assert frames[-1].outcome is not None
    for address in addresses:
        ip = ipaddress.ip_address(address)
        if not is_public(ip):
            assert frames[-1].target_address != address
            assert str(ip) not in sentence(frames[-1].outcome.cause)


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ENETUNREACH, "Network is unreachable"), NoFlowLeftError()],
)
async def test_a_trace_that_cannot_begin_is_the_agents_fault(
    jobs: Jobs, prober: FakeProber, fault: Exception
) -> None:
    """No route, no flow: said so, with the address."""
    prober.refuses = fault
    frames: list[Frame] = []
    jobs.take(job(), frames.append)
    await settle()
    assert outcome_of(frames) is Failure.SEND
    assert frames[-1].target_address == ONE
