"""The indexes of the known colos follow their changes."""

from colotrace_coordinator.colos.known import KnownColos
from colotrace_coordinator.colos.selectors import City, Country, Tagged
from colotrace_proto.messages import ColoName
from colotrace_proto.tags import Tag

DEN, FRA = ColoName("den01"), ColoName("fra01")
X = Tag("provider", "x")


def test_city_that_changes_moves_the_colo() -> None:
    known = KnownColos([(DEN, "Denver, CO, US"), (FRA, "Frankfurt, DE")])
    known.put(DEN, "Frankfurt,  de")
    assert known.matching(Country("US")) == set()
    assert known.matching(City("Denver")) == set()
    assert known.matching(City("FRANKFURT, DE")) == {DEN, FRA}
    known.discard(FRA)
    known.discard(FRA)
    assert known.matching(Country("de")) == {DEN}
    assert list(known) == [DEN]


def test_forms_of_unicode_that_look_the_same_are_equal() -> None:
    known = KnownColos([(DEN, "Zu\u0308rich, CH")])
    assert known.matching(City("z\u00fcrich")) == {DEN}
    assert known.matching(City("\uff3a\u00dcRICH")) == {DEN}


def test_city_of_a_repeated_or_empty_part() -> None:
    known = KnownColos([(DEN, "Singapore, , Singapore,"), (FRA, " , ")])
    assert known.matching(City("Singapore")) == known.matching(Country("Singapore")) == {DEN}
    known.discard(DEN)
    known.discard(FRA)
    assert known.matching(City("Singapore")) == set()


def test_tags_that_change_move_the_colo() -> None:
    known = KnownColos([(DEN, ""), (FRA, "")])
    known.tag(DEN, [X, Tag("provider", "X"), Tag("rack", "1")])
    known.tag(FRA, [X])
    assert known.matching(Tagged(Tag("provider", "x"))) == {DEN, FRA}
    known.tag(DEN, [Tag("provider", "X")])
    assert known.matching(Tagged(X)) == {DEN, FRA}
    assert known.matching(Tagged(Tag("rack", "1"))) == set()
    known.tag(DEN, [])
    assert known.tags(DEN) == frozenset()
    assert known.matching(Tagged(X)) == {FRA}
    known.discard(FRA)
    assert known.matching(Tagged(X)) == set()
