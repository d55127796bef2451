"""Which format a client gets, by the parameter or by Accept."""

import contextlib
import time

import pytest
from colotrace_formats.formats import FORMATS
from colotrace_formats.negotiation import (
    Live,
    NotAcceptableError,
    UnknownFormatError,
    choose,
    wanted,
)

AXIOS = "application/json, text/plain, */*"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        " ",
        "*/*",
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/*",
        AXIOS,
        BROWSER,
        "text/csv, */*",
        "text/csv, application/json;q=0.1",
        "text/event-stream, application/json",
    ],
)
def test_json_wins_wherever_the_client_takes_it(accept: str | None) -> None:
    assert choose(None, accept).name == "json"
    assert wanted(None, accept) is FORMATS["json"]


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("text/csv", "csv"),
        ("text/plain", "text"),
        ("text/markdown", "markdown"),
        ("text/vnd.graphviz", "dot"),
        ("application/x-ndjson; format=mtr", "mtr"),
        ("application/x-ndjson;format=atlas", "atlas"),
        ('application/x-ndjson; format="scamper"', "scamper"),
        ("text/*", "text"),
        ("text/*, text/csv", "csv"),
        ("text/csv;q=0.5, text/markdown;q=0.9", "markdown"),
        ("text/csv;q=0.5, text/*;q=0.9", "text"),
        ("text/plain;q=0, text/*", "csv"),
        ("application/json;q=0, */*", "text"),
        ("application/json;q=0.000, text/csv;q=0.001", "csv"),
        ("image/png, text/csv", "csv"),
        ("text/csv;header=present", "csv"),
    ],
)
def test_client_without_json_gets_what_it_prefers(accept: str, name: str) -> None:
    assert choose(None, accept).name == name
    assert wanted(None, accept) is FORMATS[name]


@pytest.mark.parametrize(
    ("accept", "live"),
    [
        ("text/event-stream", Live.EVENTS),
        ("text/event-stream, text/*;q=0.5", Live.EVENTS),
        ("application/x-ndjson", Live.ROWS),
        ("application/x-ndjson;q=0.5, text/event-stream;q=0.4", Live.ROWS),
    ],
)
def test_events_and_rows_are_told_apart(accept: str, live: Live) -> None:
    assert wanted(None, accept) is live


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_finished_answer_is_no_stream(accept: str) -> None:
    with pytest.raises(NotAcceptableError):
        choose(None, accept)


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "application/json;q=0",
        "*/*;q=0",
        "application/x-ndjson; format=other",
        "rubbish",
        "/",
        "*/json",
        "text/csv;q=2",
        "text/csv;q=nan",
        ",,,",
        '"unclosed',
    ],
)
def test_nothing_acceptable_tells_what_there_is(accept: str) -> None:
    with pytest.raises(NotAcceptableError) as caught:
        wanted(None, accept)
    assert caught.value.offered[0] == "application/json"
    assert "application/x-ndjson; format=atlas" in caught.value.offered
    assert "text/event-stream" in caught.value.offered


def test_malformed_elements_do_not_hide_others() -> None:
    assert choose(None, 'x, ;q=1, text/csv, a"b').name == "csv"


def test_comma_in_quotation_marks_separates_nothing() -> None:
    assert choose(None, 'text/csv; a="x, application/json"').name == "csv"


def test_long_list_is_looked_at_in_part() -> None:
    """So that a client cannot make the coordinator compute for long."""
    assert choose(None, "text/csv" + ", application/json" * 10).name == "json"
    assert choose(None, "text/csv" + ", image/png" * 10_000 + ", application/json").name == "csv"


@pytest.mark.parametrize(
    "part", ['"\\', '"', "\\", ";", "; ", "a;", ";a=", ';a="', '";', "/;q=", " ", "x"], ids=repr
)
def test_hostile_list_takes_time_in_proportion_to_its_length(part: str) -> None:
    """64 KB, of which no part is looked at again and again. CPU time, above what it takes."""
    accept = part * (65_536 // len(part))
    begun = time.thread_time()
    with contextlib.suppress(NotAcceptableError):
        choose(None, accept)
    assert time.thread_time() - begun < 0.05


@pytest.mark.parametrize("name", list(FORMATS))
def test_parameter_wins_over_accept(name: str) -> None:
    assert choose(name, "application/json").name == name
    assert wanted(name, "image/png") is FORMATS[name]


@pytest.mark.parametrize("name", ["", "xml", "JSON", "json ", "as_json", "__init__"])
def test_unknown_name_lists_the_names(name: str) -> None:
    with pytest.raises(UnknownFormatError) as caught:
        choose(name, None)
    assert all(each in str(caught.value) for each in FORMATS)


@pytest.mark.parametrize("each", FORMATS.values(), ids=list(FORMATS))
def test_content_type_asks_for_the_same_format(each) -> None:
    """What a client was told the answer is gets it the same answer again."""
    assert choose(None, each.content_type) is each
