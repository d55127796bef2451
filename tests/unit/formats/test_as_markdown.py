"""Markdown as a reader of GitHub's flavour takes it (markdown-it-py)."""

from collections.abc import Iterator

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from .samples import CASES, EVIL, evil, plain, written

_CELLS = 4
"""Nesting of what is in a table's cell."""


def tokens(markdown: str) -> list[Token]:
    return MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)


def tables(markdown: str) -> Iterator[list[list[str]]]:
    """The cells of each table."""
    rows: list[list[str]] = []
    for token in tokens(markdown):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "table_close":
            yield rows
        elif token.type == "inline" and token.level >= _CELLS:
            rows[-1].append("".join(child.content for child in token.children or ()))


def test_colos_have_a_table_and_each_path_has_one() -> None:
    colos, den, sin = tables(written("markdown", plain()))
    assert [row[0] for row in colos] == ["Colo", "den01", "sin01"]
    assert colos[1][1:5] == ["Denver, CO, US", "reached", "4", "3"]
    assert [row[0] for row in den] == ["TTL", "1", "2", "3", "", "4"]
    assert den[1][1:3] == ["192.0.2.1", "gw.den.example"]
    assert den[2][1] == "*"
    assert sin[3][-1] == "!X"


@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_hostile_texts_are_code(text: str) -> None:
    """No table breaks, and nothing becomes a link, HTML or markup."""
    markdown = written("markdown", evil(text))
    assert [[len(row) for row in table] for table in tables(markdown)] == [[8, 8], [10] * 4]
    found = tokens(markdown)
    inside = {child.type for token in found for child in token.children or ()}
    assert inside <= {"text", "code_inline", "text_special"}
    assert not {"html_block", "fence", "code_block"} & {token.type for token in found}


def texts(markdown: str, kind: str) -> list[str]:
    """What stands inside (`code_inline`) or outside (`text`) of code, in order."""
    inside = (child for token in tokens(markdown) for child in token.children or ())
    return [child.content for child in inside if child.type == kind]


@pytest.mark.parametrize("text", [each for each in EVIL if each], ids=repr)
def test_no_text_of_the_network_is_outside_of_code(text: str) -> None:
    """GitHub makes links, mentions and pictures of plain text, after the reader is done."""
    hostile, harmless = written("markdown", evil(text)), written("markdown", evil("x"))
    assert texts(hostile, "text") == texts(harmless, "text")
    assert len(texts(hostile, "code_inline")) == len(texts(harmless, "code_inline"))


def test_what_is_missing_is_said() -> None:
    assert "still running. 1 of 2 rows are here." in written("markdown", CASES["running"])


def test_errors_and_notes_follow_the_path() -> None:
    markdown = written("markdown", CASES["unresolved"])
    assert markdown.endswith(
        "- Could not gather traceroute data: Code 3\n- `the name does not exist`\n"
    )
