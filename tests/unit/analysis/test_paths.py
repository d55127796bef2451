"""The path of each flow of a row."""

from colotrace_analysis.paths import Path, paths
from colotrace_proto.measured import Trace
from recorded import udp_flow
from unit.analysis.written import TARGET, address, row

A, B, C, D = (address(letter) for letter in "abcd")


def only(trace: Trace) -> Path:
    (path,) = paths(trace)
    return path


def test_one_flow_has_one_path_up_to_the_target() -> None:
    path = only(row("a", "*", "b * *", "T", "T"))
    assert path == Path(((A,), (), (B,), (TARGET,)), reached=True, flow=udp_flow(0))


def test_unreached_path_goes_on_in_silence_to_the_rows_end() -> None:
    path = only(row("a", "b", "*", "*"))
    assert path.hops == ((A,), (B,), (), ())
    assert (path.reached, path.heard) == (False, 2)


def test_row_without_an_answer_is_silence() -> None:
    assert only(row("*", "*")).hops == ((), ())


def test_row_without_a_probe_has_no_path() -> None:
    assert paths(row(code=1)) == []


def test_path_ends_at_a_refusal() -> None:
    path = only(row("a", "b!", "*"))
    assert path.hops == ((A,), (B,))
    assert path.refused


def test_refused_flow_ends_there_though_another_goes_on_in_silence() -> None:
    refused, silent = paths(row(flows=[["a", "b!", "*", "*"], ["a", "c", "d", "*"]]))
    assert refused.hops == ((A,), (B,))
    assert silent.hops == ((A,), (C,), (D,), ())


def test_flows_have_paths_of_their_own_with_their_own_ends() -> None:
    short, long = paths(row(flows=[["a", "b", "T"], ["a", "c", "d", "T"]]))
    assert short.hops == ((A,), (B,), (TARGET,))
    assert long.hops == ((A,), (C,), (D,), (TARGET,))
    assert (short.flow, long.flow) == (udp_flow(0), udp_flow(1))


def test_flow_without_its_end_stops_at_its_last_answer_if_another_reached_the_target() -> None:
    _, cut = paths(row(flows=[["a", "b", "T"], ["a", "b", "*"]]))
    assert cut.hops == ((A,), (B,))
    assert not cut.reached


def test_flow_without_answers_has_no_path_beside_others() -> None:
    assert len(paths(row(flows=[["a", "T"], ["*", "*"]]))) == 1


def test_packets_of_one_flow_that_differ_are_one_hop_in_order_of_the_probes() -> None:
    assert only(row("b a b", "T")).hops == ((B, A), (TARGET,))


def test_order_of_arrival_does_not_matter() -> None:
    trace = row("b a b", "c", "T")
    replies = trace.gathered.replies
    backwards = type(replies)(
        replies.ttl[::-1],
        replies.rtt_ns[::-1],
        replies.node[::-1],
        replies.nodes,
        replies.ordinal[::-1],
        replies.flow[::-1],
    )
    gathered = type(trace.gathered)(
        "example.com", trace.gathered.colo, TARGET, trace.gathered.sent, backwards
    )
    turned = Trace(gathered=gathered, began_ms=0, flows=trace.flows)
    assert paths(turned) == paths(trace)


def test_agent_without_flows_gives_one_path_without_flow() -> None:
    path = only(row("a", "T", release_0_2=True))
    assert path == Path(((A,), (TARGET,)), reached=True)


def test_several_flows_of_an_agent_without_flows_are_combined() -> None:
    flows = [["a", "b", "T"], ["a", "c", "d", "T"]]
    path = only(row(flows=flows, release_0_2=True))
    assert path.hops == ((A,), (B, C), (TARGET, D), (TARGET,))
    assert path.reached


def test_target_that_names_no_probe_ends_no_path_in_silence() -> None:
    path = only(row("a", "b", "*", "*", unplaced=2))
    assert path.hops == ((A,), (B,))
