"""The names of the known colos."""

from colotrace_coordinator.colos.names import ColoNames
from colotrace_proto.messages import ColoName
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[ab]{3}[0-9]{1,2}", fullmatch=True).map(ColoName)


@given(st.lists(st.tuples(st.booleans(), NAMES)))
def test_code_means_the_names_that_begin_with_it(changes: list[tuple[bool, ColoName]]) -> None:
    """Sorted, whatever was added and removed before."""
    names, expected = ColoNames(), set[ColoName]()
    for added, name in changes:
        if added:
            names.add(name)
            expected.add(name)
        else:
            names.discard(name)
            expected.discard(name)
    assert list(names) == sorted(expected)
    assert len(names) == len(expected)
    for code in {name.rstrip("0123456789") for _, name in changes}:
        meant = [name for name in sorted(expected) if name.rstrip("0123456789") == code]
        assert list(names.meant(code.upper())) == meant
    for _, name in changes:
        assert list(names.meant(name)) == [name] * (name in expected)


def test_word_that_is_no_name_and_no_code_means_nothing() -> None:
    names = ColoNames([ColoName("den01")])
    assert [list(names.meant(word)) for word in ("", "de", "den0", "01")] == [[]] * 4
