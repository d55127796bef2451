"""docs/formats.md shows what the renderers write."""

import re
from pathlib import Path

import msgspec
import pytest
from colotrace_formats.formats import FORMATS
from colotrace_proto.measured import Measured
from msgspec.structs import replace

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
RECORDED = (Path(__file__).parent / "recorded.json").read_bytes()
"""A measurement on the lab (tests/lab), two probes a hop, from two colos."""
SHOWN = [name for name in FORMATS if name != "html"]
"""The page has no text of an HTML file: it is looked at."""
LONG = {"json", "mtr", "atlas", "scamper"}
"""Formats of which the page shows the first colo only."""


def section(name: str) -> str:
    found = re.search(rf"^## {name}\n(.*?)(?=^## \w+\n|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", SHOWN)
def test_sample_is_what_is_written(name: str) -> None:
    what = msgspec.json.decode(RECORDED, type=Measured)
    if name in LONG:
        summary = replace(what.summary, colos=what.summary.colos[:1])
        what = replace(what, summary=summary, traces={0: what.traces[0]})
    text = "".join(FORMATS[name].render(what))
    if name == "json":  # the only element of the array, as `jq -c` prints it
        text = "".join(text.splitlines())[1:-1] + "\n"
    assert f"```text\n{text}```\n" in section(name)


@pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
def test_table_has_name_and_media_type(form) -> None:
    assert (
        f"| [`{form.name}`](#{form.name}) | `{form.content_type.split('; charset')[0]}` |" in PAGE
    )


def test_page_lists_the_keys_of_scamper_that_are_absent() -> None:
    """tests/oracle compares with scamper itself."""
    absent = (
        "icmp_sum tx reply_ttl reply_tos reply_ipid reply_size icmp_q_ttl icmp_q_ipl icmp_q_tos"
    )
    assert all(f"`{key}`" in section("scamper") for key in absent.split())
