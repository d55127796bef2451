"""What waits to be written is bounded, with a share of each account."""

from colotrace_coordinator.store.history.waiting import Entry, Waiting
from colotrace_proto.measured import Outcome, Status, Summary
from colotrace_proto.tally import NOTHING_KNOWN
from recorded import complete, row, summary


def ended(waiting: Waiting, told: Summary) -> None:
    waiting.begun(told)
    for number in range(told.rows):
        waiting.row(told, number, row(told, number))
    waiting.ended(complete(told), NOTHING_KNOWN)


def entry_of(waiting: Waiting, told: Summary) -> Entry:
    entry = waiting.get(told.id, told.account_id)
    assert entry is not None
    return entry


def test_rows_and_measurements_are_counted() -> None:
    waiting = Waiting()
    told = summary(colos=["den01", "den02"])
    ended(waiting, told)
    assert (waiting.rows, len(waiting), waiting.dropped) == (3, 1, 0)
    waiting.drop(entry_of(waiting, told))
    assert (waiting.rows, len(waiting)) == (0, 0)


def test_row_that_is_told_twice_counts_once() -> None:
    waiting = Waiting()
    told = summary()
    waiting.begun(told)
    for seed in (1, 2):
        waiting.row(told, 0, row(told, seed=seed))
    assert waiting.rows == 2
    assert entry_of(waiting, told).held().rows == {0: row(told, seed=2)}


def test_oldest_measurement_of_the_account_with_most_rows_is_lost() -> None:
    waiting = Waiting(most_rows=9)
    small = summary(account="small")
    ended(waiting, small)
    large = [summary(colos=["den01", "den02"]) for _ in range(3)]
    for each in large:
        ended(waiting, each)
    assert waiting.get(large[0].id, "a1") is None
    assert [e.summary.id for e in waiting.of_account("a1")] == [each.id for each in large[1:]]
    assert waiting.get(small.id, "small") is not None
    assert waiting.dropped == 2
    assert waiting.rows <= 9


def test_running_measurement_that_has_lost_rows_is_partial() -> None:
    waiting = Waiting(most_rows=4)
    told = summary(colos=[f"den0{number}" for number in range(1, 7)])
    waiting.begun(told)
    for number in range(told.rows):
        waiting.row(told, number, row(told, number))
    waiting.ended(complete(told), NOTHING_KNOWN)
    entry = entry_of(waiting, told)
    assert waiting.dropped == entry.lost == 4
    assert sorted(entry.held().rows) == [4, 5]
    assert entry.summary.status is Status.PARTIAL


def test_measurement_that_the_database_has_as_running_keeps_its_end() -> None:
    """Its rows are lost, but not that it has ended."""
    waiting = Waiting(most_rows=4)
    told = summary(colos=["den01", "den02", "den03"])
    waiting.begun(told)
    entry_of(waiting, told).begun_to_write = True
    for number in range(told.rows):
        waiting.row(told, number, row(told, number))
    waiting.ended(complete(told), NOTHING_KNOWN)
    waiting.begun(summary(account="a2"))
    entry = entry_of(waiting, told)
    assert (entry.lost, entry.ended, entry.changed) == (3, True, True)
    assert entry.summary.status is Status.PARTIAL


def test_measurements_without_rows_are_bounded_too() -> None:
    waiting = Waiting(most_rows=3)
    for _ in range(5):
        told = summary()
        waiting.begun(told)
        waiting.ended(complete(told), NOTHING_KNOWN)
    assert len(waiting) == 3


def test_removed_measurement_takes_no_more_rows() -> None:
    waiting = Waiting()
    told = summary()
    waiting.begun(told)
    waiting.row(told, 0, row(told))
    waiting.remove(entry_of(waiting, told))
    waiting.row(told, 0, row(told))
    assert waiting.get(told.id, "a1") is None
    assert waiting.of_account("a1") == waiting.changed() == []
    assert waiting.has(told.id)
    waiting.ended(complete(told), NOTHING_KNOWN)
    assert (len(waiting), waiting.rows) == (0, 0)


def test_entry_of_another_account_is_not_found() -> None:
    waiting = Waiting()
    told = summary()
    waiting.begun(told)
    assert waiting.get(told.id, "a2") is None


def test_rows_of_a_running_measurement_are_counted_by_how_they_ended() -> None:
    told = summary(colos=["den01", "den02", "den03"])
    entry = Entry(told)
    entry.count({0: row(told), 1: row(told, 1, code=2), 2: row(told, 2, reached=False)})
    counted = entry.summary
    assert (counted.finished, counted.failed, counted.unreached) == (3, 1, 1)
    assert counted.outcome is Outcome.ERRORS
