"""Every case traced in virtual time by the real engine, packets and reports."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from colotrace_agent.model import TraceSpec, Unheard
from colotrace_proto.messages import PacketType

from scenario.addresses import packed
from scenario.expectation import expected
from scenario.gather import row_of
from scenario.kinds import TcpAnswer
from scenario.known import known_fault, traceable
from scenario.load import Run, runs
from scenario.paths import expected_paths
from scenario.schema import Case
from scenario.virtual import VirtualHost
from scenario.world import World

# What becomes of probes that are right.
_FATES = {"answered", "silent", "lost", "limited", "reset"}

# Their bare ACKs answer no probe.
BARE = {TcpAnswer.CHALLENGE, TcpAnswer.ACK}


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


def counted(host: VirtualHost) -> dict[str, int]:
    """Packets that did not count as answers, once all have arrived."""
    outcomes = [job.frames[-1].outcome for job in host.jobs]
    return {
        "duplicate": sum(outcome.duplicates for outcome in outcomes if outcome),
        "late": sum(outcome.late for outcome in outcomes if outcome) + host.engine.late,
        "foreign": sum(outcome.foreign for outcome in outcomes if outcome) + host.engine.foreign,
        "ambiguous": sum(outcome.ambiguous for outcome in outcomes if outcome),
    }


def faults(run: Run, *, seed: int) -> list[str]:
    """What is wrong about one run."""
    world = World(run.case, family=run.family)
    host = VirtualHost([world], seed=seed)
    for _ in range(run.case.trace.times):
        spec = spec_of(run.case, world, run.packet_type)
        began = host.now
        host.run(ended=host.start(spec, multipath=run.case.trace.multipath))
    host.run()
    wanted = expected(run.case, family=run.family)
    found = wanted.counter_faults(counted(host))
    found += [f"{n} probes {fate}" for fate, n in world.fates.items() if fate not in _FATES]
    if run.case.trace.multipath:
        return found + paths_faults(run, host)
    for job in host.jobs:
        found += wanted.faults(
            row_of(job.frames, packet_type=PacketType(run.packet_type)), slack_ms=0
        )
    return found + packet_faults(run, world, host.unheard, began=began)


def packet_faults(run: Run, world: World, unheard: Iterable[Unheard], *, began: int) -> list[str]:
    """What is wrong about the packets of one run: each trace has one flow, sends little beyond the
    target, and hears no packet that it cannot read. The last trace began at `began`."""
    flows = list(dict.fromkeys(seen.flow for seen in world.seen))
    traces = run.case.trace.times * len(run.packet_type.protocols)
    found = [f"{len(flows)} flows"] * (len(flows) > traces)
    last = [seen.ttl for seen in world.seen if seen.flow == flows[-1] and seen.at_ns >= began]
    found += expected(run.case, family=run.family).beyond_faults(last)
    bare = BARE.intersection((run.case.target.tcp, *run.case.target.tcp_ports.values()))
    found += [
        f"{n} packets {reason}"
        for reason, n in Counter(unheard).items()
        if not (reason is Unheard.NOT_OURS and bare)
    ]
    return found


def paths_faults(run: Run, host: VirtualHost) -> list[str]:
    """What is wrong about the paths that one run found."""
    wanted = expected_paths(run.case, family=run.family)
    found = []
    for job in host.jobs:
        outcome = job.frames[-1].outcome
        assert outcome is not None
        packet_type = PacketType(run.packet_type)
        row = row_of(job.frames, packet_type=packet_type, multipath=True)
        found += wanted.faults(row, outcome.notices)
    return found


def run_of(run: Run) -> Any:
    """The run as a parameter, with what is known to fail in it."""
    known = known_fault(run)
    marks = [pytest.mark.xfail(strict=True, reason=known)] if known else []
    return pytest.param(run, marks=marks, id=str(run))


@pytest.mark.parametrize("run", [run_of(run) for run in runs() if traceable(run.packet_type)])
def test_engine_traces_the_case(run: Run) -> None:
    """The row is as the case expects, to the microsecond."""
    assert faults(run, seed=1) == []
