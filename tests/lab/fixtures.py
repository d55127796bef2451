"""Pytest fixtures: one lab of each sort for a whole session, which is one for each xdist worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from needs import need

from lab import access
from lab.network import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The main lab: no ICMP limits."""
    need(access.reason())
    with Lab() as built:
        yield built


@pytest.fixture
def own_lab() -> Iterator[Lab]:
    """A lab of two colos and a target, for a test that changes it."""
    need(access.reason())
    with Lab(among=("den01", "den02", "web")) as built:
        yield built


@pytest.fixture(scope="session")
def limited_lab() -> Iterator[Lab]:
    """A lab whose routers and targets keep their kernels' default ICMP limits."""
    need(access.reason())
    with Lab(default_limits=True) as built:
        yield built
