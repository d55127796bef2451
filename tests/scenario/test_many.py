"""Many traces at once in virtual time: none mixes with another, none waits long for another."""

import functools
import itertools
from collections import Counter

import pytest
from colotrace_agent.model import TraceSpec
from colotrace_proto.messages import Failure, PacketType

from scenario.addresses import packed
from scenario.expectation import expected
from scenario.gather import row_of
from scenario.kinds import ProbeType, Protocol
from scenario.known import traceable
from scenario.load import parse
from scenario.schema import Case, Family
from scenario.virtual import Job, VirtualHost
from scenario.world import World

MS = 1_000_000
TRACED = [each for each in Protocol if traceable(ProbeType(each))]
EXPECT = """
[trace]
max_ttl = 5
[target]
rtt_ms = 40
address4 = "203.0.113.{last}"
address6 = "2001:db8:ffff::{last:x}"
[expect]
hops = ["1", "2", "3", "target"]
"""


@functools.cache
def case_of(number: int) -> Case:
    """A path of its own to a target of its own: RTTs tell its answers from another's."""
    shift = number * 0.01
    hops = ", ".join(f"{{ rtt_ms = {rtt + shift:.2f} }}" for rtt in (1, 10, 25))
    text = f'shows = "x"\nhops = [{hops}]\n' + EXPECT.format(last=number)
    return parse(text, name=f"target {number}")


def spec_of(
    world: World, packet_type: Protocol, *, max_ttl: int = 5, packets_per_ttl: int = 3
) -> TraceSpec:
    return TraceSpec(
        target=packed(world.addresses.target),
        packet_type=PacketType(packet_type),
        max_ttl=max_ttl,
        packets_per_ttl=packets_per_ttl,
    )


@pytest.mark.parametrize("packet_type", TRACED)
@pytest.mark.parametrize("family", [4, 6])
def test_200_traces_to_one_target_do_not_mix(family: Family, packet_type: Protocol) -> None:
    """Each has its own flow and all of its answers, and no others."""
    case = case_of(1)
    world = World(case, family=family)
    host = VirtualHost([world], rate=1e6)
    jobs = [host.start(spec_of(world, packet_type)) for _ in range(200)]
    host.run()
    wanted = expected(case, family=family)
    for job in jobs:
        assert (
            wanted.faults(row_of(job.frames, packet_type=PacketType(packet_type)), slack_ms=0) == []
        )
        assert _uncounted(job) == (0, 0, 0)
    assert len({seen.flow for seen in world.seen}) == 200
    assert len(host.engine) == host.engine.foreign == 0


@pytest.mark.parametrize("packet_type", TRACED)
@pytest.mark.parametrize("family", [4, 6])
def test_200_traces_to_200_targets_do_not_mix(family: Family, packet_type: Protocol) -> None:
    """Each sees the RTTs of its own path."""
    cases = [case_of(number) for number in range(1, 201)]
    worlds = [World(case, family=family) for case in cases]
    host = VirtualHost(worlds, rate=1e6)
    jobs = [host.start(spec_of(world, packet_type)) for world in worlds]
    host.run()
    for case, job in zip(cases, jobs, strict=True):
        assert (
            expected(case, family=family).faults(
                row_of(job.frames, packet_type=PacketType(packet_type)), slack_ms=0
            )
            == []
        )
        assert _uncounted(job) == (0, 0, 0)
    assert host.engine.foreign == 0


def test_traces_in_quick_succession_share_a_flow() -> None:
    """Their paths can be compared. Answers to one are not taken for answers to the next."""
    case = case_of(1)
    world = World(case, family=4)
    host = VirtualHost([world])
    for _ in range(20):
        host.start(spec_of(world, Protocol.ICMP))
        host.run()
    assert len({seen.flow for seen in world.seen}) == 1
    assert all(job.traces[0].reached for job in host.jobs)


def test_large_job_hardly_delays_a_small_one() -> None:
    """10,000 probes are waiting when a small trace comes: it is sent within 50 ms of the time that
    it needs alone."""
    worlds = [World(case_of(number), family=4) for number in (1, 2)]
    large, small = (
        spec_of(worlds[0], Protocol.ICMP, max_ttl=64, packets_per_ttl=10),
        spec_of(worlds[1], Protocol.ICMP, max_ttl=15),
    )
    alone = VirtualHost(worlds)
    alone.start(small)
    alone.run()
    host = VirtualHost(worlds)
    for _ in range(10_000 // 640 + 1):
        host.start(large)
    host.run(until=host.now + 20 * MS)
    started = host.now
    job = host.start(small)
    host.run()
    assert (
        job.sent_at[-1] - started < alone.jobs[0].sent_at[-1] - alone.jobs[0].sent_at[0] + 50 * MS
    )
    assert job.traces[0].reached


def test_budget_holds_over_all_traces() -> None:
    """No second has more packets than the rate allows, beyond the first burst."""
    worlds = [World(case_of(number), family=4) for number in range(1, 101)]
    host = VirtualHost(worlds, rate=500)
    for world in worlds:
        host.start(spec_of(world, Protocol.UDP))
    host.run()
    sent = sorted(at for job in host.jobs for at in job.sent_at)
    # Every probe up to each target.
    assert len(sent) >= 1_200
    seconds = Counter((at - sent[0]) // 1_000_000_000 for at in sent)
    assert all(count <= 501 for second, count in seconds.items() if second)
    assert seconds[0] <= 512 + 500
    assert all(b >= a for a, b in itertools.pairwise(sent))


def test_job_ends_at_its_deadline_with_the_answers_so_far() -> None:
    """In 20 ms probes reach the second router, whose answer takes 10 ms."""
    world = World(case_of(1), family=4)
    host = VirtualHost([world])
    started = host.now
    job = host.start(spec_of(world, Protocol.ICMP), within_s=0.02)
    host.run(ended=job)
    assert host.now == started + 20 * MS
    outcome = job.frames[-1].outcome
    assert outcome is not None
    assert outcome.failure is Failure.DEADLINE
    assert {ttl for frame in job.frames for ttl in frame.replies.ttl} == {1, 2}


def test_progress_of_a_job_is_merged() -> None:
    """Two frames are at least 50 ms apart, except for the last one."""
    world = World(case_of(1), family=4)
    host = VirtualHost([world])
    job = host.start(spec_of(world, Protocol.ICMP))
    told: list[int] = []
    while not job.ended:
        host.run(until=host.now + MS)
        told += [host.now] * (len(job.frames) - len(told))
    *progress, _ = told
    assert progress
    assert all(b - a >= 50 * MS - MS for a, b in itertools.pairwise(progress))


def _uncounted(job: Job) -> tuple[int, int, int]:
    outcome = job.frames[-1].outcome
    assert outcome is not None
    return outcome.duplicates, outcome.late, outcome.foreign
