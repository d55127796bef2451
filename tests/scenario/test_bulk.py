"""Every case traced in virtual time by the bulk engine: its rules are those of the other one."""

import pytest
from colotrace_proto.messages import PacketType

from scenario.expectation import expected
from scenario.gather import row_of
from scenario.known import traceable
from scenario.load import Run, runs
from scenario.test_virtual import packet_faults, run_of, spec_of
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
        began = host.now
        host.start(spec.target)
        host.run()
    wanted = expected(run.case, family=run.family)
    assert len(host.frames) == run.case.trace.times
    found = []
    for frame in host.frames:
        row = row_of([frame], packet_type=PacketType(run.packet_type))
        found += wanted.faults(row, slack_ms=0)
    assert found + packet_faults(run, world, host.unheard, began=began) == []
