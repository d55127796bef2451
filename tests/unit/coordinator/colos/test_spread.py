"""The choice of a few colos: stable, and spread over places."""

from collections import Counter
from random import Random

import pytest
from colotrace_coordinator.colos.known import KnownColos
from colotrace_proto.messages import ColoName
from hypothesis import given
from hypothesis import strategies as st

CITIES = [f"City {n}, Country {n % 3}" for n in range(7)]
FLEETS = st.dictionaries(
    st.from_regex(r"[ab]{3}[0-9]", fullmatch=True).map(ColoName),
    st.sampled_from([*CITIES, ""]),
    min_size=1,
)


@given(FLEETS, st.integers(1, 10), st.randoms())
def test_choice_does_not_depend_on_the_order(
    fleet: dict[ColoName, str], most: int, random: Random
) -> None:
    names = list(fleet)
    random.shuffle(names)
    one = KnownColos(fleet.items()).spread(set(fleet), most)
    other = KnownColos((name, fleet[name]) for name in names).spread(set(names), most)
    assert set(one) == set(other)
    assert len(one) == min(most, len(fleet))


@given(FLEETS, st.integers(1, 10), st.data())
def test_colo_that_goes_changes_the_choice_by_at_most_one(
    fleet: dict[ColoName, str], most: int, data: st.DataObject
) -> None:
    """Only if it was chosen, and then only another one takes its place."""
    known = KnownColos(fleet.items())
    before = set(known.spread(set(fleet), most))
    gone = data.draw(st.sampled_from(sorted(fleet)))
    known.discard(gone)
    after = set(known.spread(set(known), most))
    assert before - after <= {gone}
    assert len(after - before) <= 1
    if gone not in before:
        assert after == before


@given(FLEETS, st.integers(1, 10))
def test_part_of_the_colos_is_chosen_from_as_if_there_were_no_others(
    fleet: dict[ColoName, str], most: int
) -> None:
    part = dict(sorted(fleet.items())[::2])
    alone = KnownColos(part.items()).spread(set(part), most)
    assert set(KnownColos(fleet.items()).spread(set(part), most)) == set(alone)


@pytest.mark.parametrize("most", [3, 6, 7])
def test_choice_is_spread_over_countries_and_cities(most: int) -> None:
    """Each country, and each of its cities, before one of them has another."""
    known = KnownColos(
        (ColoName(f"c{chr(97 + n)}{chr(97 + n)}{again:02}"), city)
        for n, city in enumerate(CITIES)
        for again in range(9)
    )
    places = [CITIES[ord(name[1]) - 97] for name in known.spread(set(known), most)]
    countries = Counter(place.split(", ")[1] for place in places)
    assert len(countries) == 3
    assert max(countries.values()) - min(countries.values()) <= 1
    assert len(set(places)) == len(places)


def test_choice_is_the_same_in_every_release() -> None:
    """A stable choice outlives the process: no hash of Python's own is in it."""
    known = KnownColos((ColoName(f"den{n:02}"), CITIES[n % 7]) for n in range(50))
    assert sorted(known.spread(set(known), 3)) == ["den05", "den10", "den18"]
