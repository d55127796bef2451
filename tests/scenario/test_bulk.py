"""Every case traced in virtual time by the bulk engine: its rules are those of the other one."""

from collections import Counter

import pytest
from colotrace_agent.model import Unheard
from colotrace_proto.messages import PacketType

from scenario.expectation import expected
from scenario.gather import row_of
from scenario.known import traceable
from scenario.load import Run, runs
from scenario.test_virtual import BARE, run_of, spec_of
from scenario.virtual_bulk import VirtualBulkHost
from scenario.world import World

SAME_FLOW = [run for run in runs() if traceable(run.packet_type) and not run.case.trace.multipath]


@pytest.mark.parametrize("run", [run_of(run) for run in SAME_FLOW if run.packet_type != "gre+icmp"])
def test_bulk_engine_traces_the_case(run: Run) -> None:
    """The row is as the case expects, to the microsecond."""
    world = World(run.case, family=run.family)
    spec = spec_of(run.case, world, run.packet_type)
    host = VirtualBulkHost([world], spec, seed=1)
    for _ in range(run.case.trace.times):
        host.start(spec.target)
        host.run()
    wanted = expected(run.case, family=run.family)
    assert len(host.frames) == run.case.trace.times
    found = []
    for frame in host.frames:
        row = row_of([frame], packet_type=PacketType(run.packet_type))
        found += wanted.faults(row, slack_ms=0)
    flows = list(dict.fromkeys(seen.flow for seen in world.seen))
    found += [f"{len(flows)} flows"] * (len(flows) > run.case.trace.times)
    found += wanted.beyond_faults([seen.ttl for seen in world.seen if seen.flow == flows[-1]])
    bare = BARE.intersection((run.case.target.tcp, *run.case.target.tcp_ports.values()))
    found += [
        f"{n} packets {reason}"
        for reason, n in Counter(host.unheard).items()
        if not (reason is Unheard.NOT_OURS and bare)
    ]
    assert found == []
