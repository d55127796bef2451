"""Spans of time in words."""

import pytest
from colotrace_proto.spans import seconds_in, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (90, "90 s"), (3_600, "60 minutes"), (10_800, "3 hours"), (777_600, "9 days")],
)
def test_span_is_in_a_unit_that_suits_it(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), (" 1H ", 3_600), ("7d", 604_800)]
)
def test_span_that_a_user_writes(text: str, seconds: int) -> None:
    assert seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1h30m", "1234567d", "\uff11h"])
def test_span_that_is_written_in_another_way(text: str) -> None:
    with pytest.raises(ValueError, match="give a time like 30m, 1h or 7d"):
        seconds_in(text)
