"""The page as Python's own HTML reader takes it. How it looks: tests/browser."""

import json
import re
from html.parser import HTMLParser

import pytest
from colotrace_formats.formats import FORMATS

from .samples import EVIL, evil, measured, plain, trace, written

_VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Elements that are opened and closed in order, and the texts of each table's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.data: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data.append(data)
        elif {"td", "th"} & set(self.open) and "svg" not in self.open:
            self.tables[-1][-1][-1] += data
        else:
            self.texts.append(data)


def test_matrix_is_aligned_at_the_target() -> None:
    _, matrix, den, sin = Reader(written("html", plain())).tables
    assert matrix[0][-2:] == ["-1", "target"]
    assert [line[0] for line in matrix] == ["Colo", "den01", "sin01"]
    assert den[0][:4] == ["TTL", "Address", "Name", "AS"]
    assert [line[0] for line in den[1:]] == ["1", "2", "3", "", "4"]
    assert den[2][1] == "no answer"
    assert "!X" in sin[3][2]


def test_every_reply_is_in_the_strip_of_its_hop() -> None:
    page = written("html", measured({0: trace("a1.5 a2 *", "T3 T4 T6")}))
    strips = re.findall(r"<title>([\d., ]+)</title><path d=\"([^\"]+)\"", page)
    assert [titles for titles, _ in strips] == ["1.500, 2.000", "3.000, 4.000, 6.000"]
    assert strips[1][1] == "M100.0 0v10M133.3 0v10M200.0 0v10"


@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_hostile_texts_are_texts(text: str) -> None:
    """Elements and attributes are those of a harmless measurement; the data can be read."""
    found, harmless = Reader(written("html", evil(text))), Reader(written("html", evil("x")))
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in harmless.tags]
    assert [set(given) for _, given in found.tags] == [set(given) for _, given in harmless.tags]
    assert [json.loads(data)["target"] for data in found.data if data.strip()]


def test_nothing_is_run_or_loaded() -> None:
    found = Reader(written("html", plain()))
    assert {given.get("type") for tag, given in found.tags if tag == "script"} == {
        "application/json"
    }
    names = {name for _, given in found.tags for name in given}
    assert not names & {"src", "href", "style", "srcset"}
    assert not [name for name in names if name.startswith("on")]
    assert any("default-src 'none'" in (given.get("content") or "") for _, given in found.tags)


def test_rows_are_in_it_as_the_api_has_them() -> None:
    [data] = [json.loads(each) for each in Reader(written("html", plain())).data if each.strip()]
    rows = json.loads(written("json", plain()))
    [row] = rows if isinstance(rows, list) else rows["result"]
    assert data == row


def test_unreached_and_failed_rows_say_so() -> None:
    page = written(
        "html", measured({0: trace("a1", "*"), 1: trace(code=2)}, colos=["den01", "sin01"])
    )
    assert "not reached" in page
    assert "Code 2" in page


def test_it_is_for_people() -> None:
    assert FORMATS["html"].is_for_people
