"""Fixtures of several programs' tests."""

import threading
from collections.abc import Iterator

import pytest
from unit.pipes import Pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe, closed at the end of the test."""
    made = Pipe()
    yield made
    made.end()
    # A thread that still reads would read the next pipe, which gets the same descriptor.
    readers = [thread for thread in threading.enumerate() if thread.name == "targets"]
    for reader in readers:
        reader.join(5)
    made.leave()
    assert not any(reader.is_alive() for reader in readers)
