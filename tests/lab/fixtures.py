"""Pytest fixtures: one lab of each sort for a whole session, which is one for each xdist worker."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab import access
from lab.network import Lab


def _require_lab() -> None:
    """Skip with the reason where no lab can be built; in CI that is a failure."""
    why = access.reason()
    if why and os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    if why:
        pytest.skip(why)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The main lab: no ICMP limits."""
    _require_lab()
    with Lab() as built:
        yield built


@pytest.fixture(scope="session")
def limited_lab() -> Iterator[Lab]:
    """A lab whose routers and targets keep their kernels' default ICMP limits."""
    _require_lab()
    with Lab(default_limits=True) as built:
        yield built
