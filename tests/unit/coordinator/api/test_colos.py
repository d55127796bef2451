"""From colos asked for to colos that answer."""

import pytest
from colotrace_coordinator.api.errors import UnknownColosError
from colotrace_coordinator.api.request.colos import choose
from colotrace_coordinator.colos.known import KnownColos
from colotrace_proto.messages import ColoName

KNOWN = KnownColos((ColoName(name), "") for name in ("sin01", "den02", "den01", "fra01"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], ["den01", "den02", "fra01", "sin01"]),
        (["den01"], ["den01"]),
        (["DEN01"], ["den01"]),
        (["den"], ["den01", "den02"]),
        (["Den"], ["den01", "den02"]),
        (["sin", "den"], ["sin01", "den01", "den02"]),
        (["den02", "den"], ["den02", "den01"]),
        (["fra", "fra01", "FRA"], ["fra01"]),
    ],
)
def test_choose(asked: list[str], expected: list[str]) -> None:
    """In the order asked, each once; a code's colos by name."""
    assert list(choose(asked, KNOWN)) == expected


@pytest.mark.parametrize(
    ("asked", "positions"),
    [
        ([""], [0]),
        (["de"], [0]),
        (["den0"], [0]),
        (["den01 "], [0]),
        (["den", "lhr", "sin", "xxx01"], [1, 3]),
    ],
)
def test_unknown(asked: list[str], positions: list[int]) -> None:
    with pytest.raises(UnknownColosError) as caught:
        choose(asked, KNOWN)
    faults = [("Colo is not a valid colo", 1005, f"/colos/{n}") for n in positions]
    assert [(f.message, f.code, f.pointer) for f in caught.value.faults] == faults


def test_nothing_known() -> None:
    assert choose([], KnownColos()) == ()
    with pytest.raises(UnknownColosError):
        choose(["den"], KnownColos())


def test_many_words_cost_no_more_than_the_colos() -> None:
    """A code that stands there many times is looked at once; unknown ones stop at the bound."""
    fleet = KnownColos((ColoName(f"den{n:04}"), "") for n in range(2_000))
    assert len(choose(["den", "DEN"] * 10_000, fleet)) == 2_000
    with pytest.raises(UnknownColosError) as caught:
        choose(["den"] + [""] * 20_000, fleet)
    assert [f.pointer for f in caught.value.faults] == [f"/colos/{n}" for n in range(1, 101)]
