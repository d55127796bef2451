"""The soft limit on open files goes up, and only up."""

import resource

import pytest
from colotrace_proto.descriptors import raise_limit

_INFINITY = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "becomes"),
    [
        (1_024, 1_048_576, 65_536),
        (1_024, 4_096, 4_096),
        (1_024, _INFINITY, 65_536),
        (100_000, 1_048_576, None),
        (16, 16, None),
    ],
)
def test_soft_limit(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, becomes: int | None
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert raise_limit() == (soft if becomes is None else becomes)
    assert set_to == ([] if becomes is None else [(becomes, hard)])


def test_no_limit_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is divided then is what was wanted."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (_INFINITY, _INFINITY))
    assert raise_limit(1_000) == 1_000
