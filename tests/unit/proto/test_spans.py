"""Spans of time in words."""

import pytest
from colotrace_proto.spans import span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (90, "90 s"), (3_600, "60 minutes"), (10_800, "3 hours"), (777_600, "9 days")],
)
def test_span_is_in_a_unit_that_suits_it(seconds: float, words: str) -> None:
    assert span(seconds) == words
