"""Differences of RTT, loss and reachability."""

from ipaddress import ip_address

from colotrace_analysis.diff import Answer, Unlike, diff
from colotrace_proto.measured import Trace
from recorded import udp_flow
from unit.analysis.differences import PATH, between, sentence
from unit.analysis.written import measured, row


def test_rtt_change_has_its_size() -> None:
    changes = between(row("a", "T=20"), row("a", "T=32"))
    (change,) = changes.changes
    assert change.rtt is not None
    assert (change.rtt.before_ms, change.rtt.after_ms, change.rtt.change_ms) == (20, 32, 12)
    assert sentence(changes) == "den01: RTT to example.com +12 ms"


def test_rtt_change_within_floor_or_spread_is_none() -> None:
    assert between(row("a", "T=20"), row("a", "T=20.9")).empty
    assert between(row("a", "T=20 T=30 T=40"), row("a", "T=45 T=55 T=60")).empty


def test_rtt_of_another_flow_is_told_as_such() -> None:
    changes = between(row("a", "T=20"), row("a", "T=32", fields=[udp_flow(1)]))
    assert sentence(changes) == "den01: RTT to example.com +12 ms, maybe by another path"
    assert not changes.changes[0].same_flow


def test_slower_colo_is_one_cluster_over_all_targets() -> None:
    def of(rtt: int) -> list[Trace]:
        slow = [row(f"T={rtt}", colo="c1", target=f"t{n}") for n in range(4)]
        return slow + [row("T=20", colo="c2", target=f"t{n}") for n in range(4)]

    changes = diff(measured(*of(20)), measured(*of(32)))
    assert sentence(changes) == "c1: RTT to 4 targets +12 ms (median)"


def test_routers_rtt_and_loss_are_not_compared() -> None:
    assert between(row("a=1", "T=20"), row("a=90 * *", "T=20")).empty


def test_target_that_stops_to_answer_is_a_change() -> None:
    changes = between(row("a", "T"), row("a", "*", "*"))
    assert changes.changes[0].answer is Answer.UNREACHED
    assert sentence(changes) == "den01 no longer reaches example.com"
    assert sentence(between(row("a", "*", "*"), row("a", "T"))) == "den01 now reaches example.com"


def test_target_that_answered_little_before_may_be_silent_by_chance() -> None:
    changes = between(row("a", "T * *"), row("a", "* * *", "*"))
    assert changes.empty
    assert [each.why for each in changes.not_compared] == [Unlike.TOO_FEW]


def test_target_that_answers_without_naming_a_probe_is_reached() -> None:
    assert between(row("a", "*", unplaced=3), row("a", "T")).empty


def probes(lost: int, sent: int = 10) -> str:
    return " ".join(["*"] * lost + ["T"] * (sent - lost))


def test_loss_beyond_chance_is_a_change() -> None:
    changes = between(row(probes(0)), row(probes(7)))
    (change,) = changes.changes
    assert change.loss is not None
    assert (change.loss.after_lost, change.loss.after_sent) == (7, 10)
    assert sentence(changes) == ("den01: more loss to example.com, 7 of 10 probes, before 0 of 10")


def test_loss_of_three_probes_is_never_beyond_chance() -> None:
    assert between(row("T"), row("T * *")).empty


def test_loss_is_judged_beside_that_of_all_rows() -> None:
    """5 of 10 is p = 0.03: enough in one row, and chance in one of fifty."""
    assert not between(row(probes(0)), row(probes(5))).empty
    colos = [f"c{number:02}" for number in range(50)]
    before = [row(probes(0 if colo == "c00" else 2), colo=colo) for colo in colos]
    after = [row(probes(5 if colo == "c00" else 3), colo=colo) for colo in colos]
    assert diff(measured(*before), measured(*after)).empty


def test_loss_at_several_distances_is_not_judged() -> None:
    """Nobody knows how many probes the target should have answered."""
    before = row(flows=[["T * *"], ["a", probes(0, 30)]])
    assert between(before, row(flows=[["T * *"], ["a", probes(20, 30)]])).empty
    one_distance = row(flows=[["a", probes(0, 30)]])
    assert not between(one_distance, row(flows=[["a", probes(20, 30)]])).empty


def test_row_that_fails_is_a_change() -> None:
    changes = between(row(*PATH), row("a", code=2))
    assert changes.changes[0].answer is Answer.FAILS
    assert sentence(changes) == "den01: tracing example.com fails now"
    assert sentence(between(row(code=1), row(*PATH))) == "den01: tracing example.com works again"


def test_rows_that_both_failed_are_not_compared() -> None:
    changes = between(row(code=1), row(code=2))
    assert changes.empty
    assert [each.why for each in changes.not_compared] == [Unlike.ERRORS]


def test_other_address_of_the_target_is_a_change_and_no_path_is_compared() -> None:
    other = ip_address("203.0.113.10").packed
    changes = between(row("a", "*"), row("x", "*", target_address=other))
    assert changes.changes[0].address == ["203.0.113.9", "203.0.113.10"]
    assert changes.changes[0].appeared == []
    assert sentence(changes) == ("den01 traces example.com at 203.0.113.10 instead of 203.0.113.9")
