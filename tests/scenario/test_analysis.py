"""Graph and differences of traces in simulated networks, against the networks' true paths."""

import pytest
from colotrace_analysis.diff import Diff, diff
from colotrace_analysis.graph import graph
from colotrace_proto import rows, tally
from colotrace_proto.measured import Measured, Options, Trace
from colotrace_proto.messages import ColoName, Failure, PacketType
from recorded import complete, summary

from scenario.known import traceable
from scenario.load import Run, cases, parse, runs
from scenario.paths import edges
from scenario.schema import Case
from scenario.test_virtual import spec_of
from scenario.virtual import Job, VirtualHost
from scenario.world import World

DEN = ColoName("den01")
BY_PACKET = {case.name for case in cases() if any(hop.balance == "packet" for hop in case.hops)}
BY_FLOW = [run for run in runs() if traceable(run.packet_type) and run.case.name not in BY_PACKET]
SINGLE = [run for run in BY_FLOW if not run.case.trace.multipath]
# One run of each case, and all of the balancer's: the others differ in nothing that counts here.
ONE_FLOW = list({run.case.name: run for run in SINGLE}.values())
ONE_FLOW += [run for run in SINGLE if run.case.name == "ecmp_flow" and run not in ONE_FLOW]
SEVERAL = [run for run in BY_FLOW if run.case.trace.multipath]
PLAIN = """
shows = "x"
hops = [{}, {}, {}]
[expect]
hops = ["1", "2", "3", "target"]
"""
LONGER = PLAIN.replace("{}, {}, {}", "{}, {}, {}, {}").replace('"3"', '"3", "4"')


def trace_of(job: Job, case: Case, packet_type: str) -> Trace:
    """What the coordinator records of the frames of a job."""
    last = job.frames[-1]
    assert last.outcome is not None
    multipath = case.trace.multipath
    gathered = tally.Gathered(
        target="target",
        colo=rows.Colo(city="Denver, CO, US", name=DEN),
        target_address=last.target_address,
        sent=last.sent,
        replies=tally.merged([frame.replies for frame in job.frames]),
        duration_ns=last.outcome.duration_ns,
        code=0 if last.outcome.failure is Failure.NONE else 4,
        unplaced=last.outcome.unplaced,
        own_ends=tally.has_own_ends(PacketType(packet_type), multipath=multipath),
        links=last.outcome.links if multipath else None,
    )
    return Trace(
        gathered=gathered,
        began_ms=0,
        source_address=last.source_address,
        flows=tuple(flow for frame in job.frames for flow in frame.flows),
    )


def measured(trace: Trace, case: Case, packet_type: str) -> Measured:
    options = Options(PacketType(packet_type), multipath=case.trace.multipath)
    begun = summary(targets=["target"], colos=[DEN], options=options)
    return Measured(summary=complete(begun), traces={0: trace})


def traced(
    case: Case, *, family: int = 4, packet_type: str = "udp", seed: int = 0, times: int = 1
) -> Measured:
    """The case's network, traced so often by one host; the last trace."""
    world = World(case, family=family)
    host = VirtualHost([world], seed=seed)
    for _ in range(times):
        job = host.start(spec_of(case, world, packet_type), multipath=case.trace.multipath)
        host.run(ended=job)
    return measured(trace_of(job, case, packet_type), case, packet_type)


def hops(changes: Diff) -> tuple[list[int], list[tuple[int, int]]]:
    """TTLs of new addresses, and of those that moved."""
    (change,) = changes.changes
    return (
        [hop.ttl for hop in change.appeared],
        [(hop.before_ttl, hop.after_ttl) for hop in change.moved],
    )


@pytest.mark.parametrize("run", ONE_FLOW, ids=str)
def test_same_network_shows_no_difference(run: Run) -> None:
    """The keyed fields of the probes differ, and the flow does not."""
    before, after = (
        traced(run.case, family=run.family, packet_type=run.packet_type, seed=seed)
        for seed in (1, 2)
    )
    changes = diff(before, after)
    assert changes.empty, changes.in_words
    assert changes.paths or not before.traces[0].flows or before.traces[0].gathered.code


@pytest.mark.parametrize("run", SEVERAL, ids=str)
def test_edges_of_balanced_paths_are_true(run: Run) -> None:
    drawn = graph(traced(run.case, family=run.family, packet_type=run.packet_type))
    truth = {(near, far) for _, near, far in edges(run.case, family=run.family)}
    ips = [node.ip for node in drawn.nodes]
    found = {(ips[edge.near], ips[edge.far]) for edge in drawn.edges if edge.certain}
    found = {(near, far) for near, far in found if near and far and near != far}
    assert found <= truth
    assert found


@pytest.mark.parametrize("run", [run for run in SEVERAL if run.family == 4], ids=str)
def test_balanced_paths_traced_again_show_no_difference(run: Run) -> None:
    before, after = (
        traced(run.case, family=run.family, packet_type=run.packet_type, seed=seed)
        for seed in (1, 2)
    )
    assert diff(before, after).empty


def test_new_hop_of_the_network_is_told() -> None:
    plain, longer = parse(PLAIN, name="plain"), parse(LONGER, name="longer")
    changes = diff(traced(plain), traced(longer))
    assert hops(changes) == ([4], [(4, 5)])


def test_trace_right_after_another_is_compared() -> None:
    """It has the same flow."""
    plain, longer = parse(PLAIN, name="plain"), parse(LONGER, name="longer")
    assert hops(diff(traced(plain), traced(longer, times=2))) == ([4], [(4, 5)])


def test_trace_right_after_another_by_gre_is_not_compared() -> None:
    """It has another flow, since late answers could not be told apart."""
    plain, longer = parse(PLAIN, name="plain"), parse(LONGER, name="longer")
    before, after = traced(plain, packet_type="gre"), traced(longer, packet_type="gre", times=2)
    changes = diff(before, after)
    assert changes.empty
    assert changes.paths == 0
