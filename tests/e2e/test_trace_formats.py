"""`colotrace-agent trace --format` on the lab, as arguments and as a file."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest
from colotrace_formats.formats import FORMATS
from lab import Lab

pytestmark = pytest.mark.lab

AGENT = Path(sys.executable).parent / "colotrace-agent"


def printed(lab: Lab, tmp_path: Path, form: str, *, bulk: bool, targets: list[str]) -> str:
    listed = tmp_path / "targets"
    listed.write_text("\n".join(targets))
    many = ["--targets-file", listed] if bulk else targets
    argv = [AGENT, "trace", *many, "--format", form, "--allow-private", "--no-names"]
    done = lab.run_forked("den01", argv)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("bulk", [False, True], ids=["arguments", "file"])
def test_columns_of_csv_are_named_once(lab: Lab, tmp_path: Path, bulk: bool) -> None:
    targets = [lab.address("web"), lab.address("far"), lab.address("web", family=6)]
    text = printed(lab, tmp_path, "csv", bulk=bulk, targets=targets)
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    assert {row["target"] for row in rows} == set(targets)
    assert all(float(row["min_rtt_ms"]) > 0 for row in rows if row["ip"])


@pytest.mark.parametrize("bulk", [False, True], ids=["arguments", "file"])
@pytest.mark.parametrize("form", [name for name in FORMATS if name != "csv"])
def test_every_target_is_printed(lab: Lab, tmp_path: Path, form: str, bulk: bool) -> None:
    targets = [lab.address("web"), lab.address("far")]
    text = printed(lab, tmp_path, form, bulk=bulk, targets=targets)
    assert all(target in text for target in targets)
    if FORMATS[form].is_lines:
        assert len(text.splitlines()) == len(targets)
