"""Fixtures of several programs' tests."""

from collections.abc import Iterator

import pytest
from unit.pipes import Pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe, closed at the end of the test."""
    made = Pipe()
    yield made
    made.end()
    made.leave()
