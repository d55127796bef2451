"""What all formats have in common, and a whole file of each."""

import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
from colotrace_formats.formats import FORMATS
from colotrace_formats.names import NAMES
from colotrace_proto.tally import NOTHING_KNOWN
from msgspec.structs import replace

from .samples import CASES, EVIL, MULTIPATH, evil, measured, plain, trace, written

GOLDEN = Path(__file__).parent / "golden"
ALL = pytest.mark.parametrize("name", list(FORMATS))


@ALL
def test_file_is_the_golden_one(name: str) -> None:
    """UPDATE_GOLDEN=1 writes them anew; look at the difference."""
    file = GOLDEN / f"plain.{FORMATS[name].extension}"
    text = written(name, plain())
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@ALL
@pytest.mark.parametrize("case", list(CASES))
def test_whatever_lacks_can_be_written(name: str, case: str) -> None:
    """Rows that are missing or have errors, silence, no names, IPv6, old agents."""
    text = written(name, CASES[case])
    assert not text or text.endswith("\n")
    assert written(name, replace(CASES[case], known=NOTHING_KNOWN)) or not text


@ALL
@pytest.mark.parametrize("text", EVIL, ids=repr)
def test_nothing_from_the_network_reaches_a_terminal_unescaped(name: str, text: str) -> None:
    """Targets, colos, cities, names, ASNs, labels and remarks: no control, format or surrogate
    characters beside line feeds, and everything can be encoded."""
    shown = written(name, evil(text))
    shown.encode("utf-8")
    bad = {each for each in shown if unicodedata.category(each)[0] == "C" and each != "\n"}
    assert not bad


@ALL
def test_names_change_nothing_else(name: str) -> None:
    """A hostile text is as many lines as a harmless one."""
    harmless = written(name, evil("x")).count("\n")
    assert {written(name, evil(text)).count("\n") for text in EVIL if text} == {harmless}


@ALL
def test_pieces_are_short(name: str) -> None:
    """300 rows are many pieces, and none costs more than a turn of an event loop may. CPU time: a
    busy machine is not the renderer's fault."""
    rows = {n: trace(*["a1 a2 a3"] * 14, "T9 T9 T9") for n in range(300)}
    large = measured(rows, colos=[f"c{n:03}" for n in range(300)])
    FORMATS[name].load()
    pieces = FORMATS[name].render(large)
    costs, sizes = [], []
    while True:
        begun = time.thread_time()
        piece = next(pieces, None)
        costs.append(time.thread_time() - begun)
        if piece is None:
            break
        sizes.append(len(piece))
    assert len(sizes) > 10
    assert max(sizes) < 200_000
    assert sorted(costs)[-3] < 0.01  # half of it, by measurement: garbage is collected too


@ALL
def test_row_of_many_flows_can_be_written(name: str) -> None:
    flows = [["a1 a2", "b3 b4", "T5 T6"] for _ in range(256)]
    row = trace(several=flows, flows=CASES["multipath"].traces[0].flows * 128)
    assert written(name, measured({0: row}, options=MULTIPATH))


def test_json_stays_one_document_and_others_can_be_continued() -> None:
    """With `follows`, text has an empty line between, and CSV the columns' names only once."""
    one = CASES["without an id"]
    assert written("text", one, follows=True) == "\n" + written("text", one)
    assert written("csv", one, follows=True) == written("csv", one).split("\n", 1)[1]
    assert written("markdown", one, follows=True) == "\n" + written("markdown", one)


def test_start_of_a_program_imports_no_renderer() -> None:
    code = (
        "import sys; import colotrace_formats.negotiation;"
        "print([m for m in sys.modules if 'numpy' in m or '.as_' in m or 'analysis' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


@ALL
def test_text_tells_its_charset(name: str) -> None:
    """The default of `text/` types is no UTF-8; JSON is always UTF-8."""
    content_type = FORMATS[name].content_type
    assert content_type.endswith("; charset=utf-8") == content_type.startswith("text/")


def test_names_are_those_of_the_table() -> None:
    assert tuple(FORMATS) == NAMES
