"""Ids of measurements sort by time, whatever the clock does."""

from uuid import UUID

from colotrace_coordinator.measurements.ids import Ids, is_id
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 2**42), min_size=1, max_size=50))
def test_each_id_is_greater_than_the_one_before(times: list[int]) -> None:
    """Also when the clock stands still, or is set back."""
    readings = iter(times)
    ids = Ids(lambda: next(readings))
    made = [ids.new() for _ in times]
    assert made == sorted(set(made))
    assert all(is_id(each) for each in made)


def test_id_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    made = Ids(lambda: 1_790_000_000_123).new()
    assert UUID(made).version == 7
    assert UUID(made).variant == "specified in RFC 4122"
    assert int(made[:12], 16) == 1_790_000_000_123


def test_more_ids_than_a_millisecond_has_go_on_in_the_next() -> None:
    ids = Ids(lambda: 5)
    made = [ids.new() for _ in range(5_000)]
    assert made == sorted(set(made))
    assert int(made[-1][:12], 16) == 6


def test_ids_of_two_processes_differ() -> None:
    assert Ids(lambda: 5).new() != Ids(lambda: 5).new()


def test_other_texts_are_no_ids() -> None:
    for text in ("", "0" * 32, "0193D1F4A5B67C8D9E0F1A2B3C4D5E6F", "x" * 32, "a" * 33):
        assert not is_id(text)
