"""Every case traced in virtual time by the real engine, packets and reports."""

from collections import Counter

import pytest
from colotrace_agent.model import TraceSpec
from colotrace_proto.messages import PacketType

from scenario.addresses import packed
from scenario.expectation import expected
from scenario.gather import row_of
from scenario.load import Run, runs
from scenario.schema import Case
from scenario.virtual import Job, VirtualHost
from scenario.world import World

# What becomes of probes that are right.
_FATES = {"answered", "silent", "lost", "limited", "reset"}


def spec_of(case: Case, world: World, packet_type: str, *, flow: int = 0) -> TraceSpec:
    """What the case asks of the tracer."""
    trace = case.trace
    return TraceSpec(
        target=packed(world.addresses.target),
        packet_type=PacketType(packet_type),
        max_ttl=trace.max_ttl,
        packets_per_ttl=trace.packets_per_ttl,
        wait_ns=trace.wait_time * 1_000_000_000,
        port=trace.port,
        flow=flow,
    )


def counted(host: VirtualHost, job: Job) -> dict[str, int]:
    """Packets that did not count as answers, once all have arrived."""
    outcome = job.frames[-1].outcome
    assert outcome is not None
    return {
        "duplicate": outcome.duplicates,
        "late": outcome.late + host.engine.late,
        "foreign": outcome.foreign + host.engine.foreign,
    }


def faults(run: Run, *, seed: int) -> list[str]:
    """What is wrong about one run."""
    world = World(run.case, family=run.family)
    host = VirtualHost([world], seed=seed)
    job = host.start(spec_of(run.case, world, run.packet_type))
    host.run()
    row = row_of(job.frames)
    wanted = expected(run.case, family=run.family)
    found = wanted.faults(row, slack_ms=0) + wanted.counter_faults(counted(host, job))
    # Every checksum right, nothing sent elsewhere, one flow.
    found += [f"{n} probes {fate}" for fate, n in world.fates.items() if fate not in _FATES]
    flows = Counter(seen.flow for seen in world.seen)
    found += [f"{len(flows)} flows"] * (len(flows) > 1)
    found += [f"{n} packets {reason}" for reason, n in Counter(host.unheard).items()]
    return found


@pytest.mark.parametrize("run", runs(), ids=str)
def test_the_engine_traces_the_case(run: Run) -> None:
    """The row is what the case expects, to the microsecond."""
    assert faults(run, seed=1) == []
