"""`colotrace-agent trace` with a closed, full, slow, or unread standard output."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from lab import Lab, Process

AGENT = Path(sys.executable).parent / "colotrace-agent"
FLAGS = ["--no-names", "--allow-private", "--max-ttl", "2"]
MANY = 600
"""Rows of so many targets are more than a pipe holds."""


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A file with addresses that answer."""
    path = tmp_path / "targets"
    path.write_text("".join(f"127.9.{n // 250}.{n % 250 + 1}\n" for n in range(MANY)))
    return path


def argv(listed: Path, *, form: str, bulk: bool) -> list[str | Path]:
    """The command line: all targets as a file, or the first targets as arguments."""
    many = ["--targets-file", listed] if bulk else listed.read_text().split()[:300]
    return [AGENT, "trace", *many, *FLAGS, *(["--json"] if form == "json" else [])]


def stuck(process: Process, out: int) -> None:
    """Wait until the process has filled the unread pipe."""
    full = fcntl.fcntl(out, fcntl.F_GETPIPE_SZ) * 3 // 4
    for _ in range(200):
        if _unread(out) > full:
            return
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail("it has ended")
    pytest.fail("it did not fill the pipe")


def _unread(descriptor: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
    return int(count)


def read_all(descriptor: int) -> bytes:
    read = b""
    while part := os.read(descriptor, 65_536):
        read += part
    return read


@pytest.mark.parametrize(("form", "bulk"), [("json", True), ("table", False)])
@pytest.mark.parametrize(
    ("to", "exit_code", "lines"), [(">/dev/full", 74, 1), (">&-", 74, 1), ("| head -n 1", 141, 0)]
)
def test_output_that_cannot_be_written(
    lab: Lab, listed: Path, form: str, bulk: bool, to: str, exit_code: int, lines: int
) -> None:
    """The command ends, with one line or silently, with the exit code for the reason."""
    script = f'exec 3>&2; {{ "$@"; echo "$?" >&3; }} {to}'
    command = ["sh", "-c", script, "sh", *argv(listed, form=form, bulk=bulk)]
    done = lab.run("den01", command)
    *said, code = done.stderr.splitlines()
    assert (int(code), len(said)) == (exit_code, lines)


@pytest.mark.parametrize(
    ("form", "bulk", "number"),
    [
        ("json", True, signal.SIGINT),
        ("table", True, signal.SIGTERM),
        ("json", False, signal.SIGTERM),
        ("table", False, signal.SIGINT),
    ],
)
def test_stopped_reader_does_not_delay_the_end(
    lab: Lab, listed: Path, form: str, bulk: bool, number: int
) -> None:
    """Ctrl-C and SIGTERM end the run; the pipe has only whole lines."""
    out, into = os.pipe()
    command = argv(listed, form=form, bulk=bulk)
    process = lab.spawn("den01", command, stdout=into, stderr=subprocess.PIPE)
    os.close(into)
    stuck(process, out)
    process.send_signal(number)
    assert process.wait(timeout=30) == 130
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    read = read_all(out)
    os.close(out)
    assert read.endswith(b"\n")
    if form == "json":
        assert all(json.loads(line)["target"] for line in read.splitlines())


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "nonblocking"])
def test_late_reader_gets_every_row(lab: Lab, listed: Path, blocking: bool) -> None:
    """Tracing pauses until then."""
    out, into = os.pipe()
    os.set_blocking(into, blocking)
    command = argv(listed, form="json", bulk=True)
    process = lab.spawn("den01", command, stdout=into, stderr=subprocess.PIPE)
    os.close(into)
    stuck(process, out)
    rows = [json.loads(line) for line in read_all(out).splitlines()]
    os.close(out)
    assert process.wait(timeout=30) == 0
    assert sorted(row["target"] for row in rows) == sorted(listed.read_text().split())


def test_argument_that_is_not_utf_8_fails_alone(lab: Lab) -> None:
    """A row for each target, and the exit code for a failed target."""
    command = [AGENT, "trace", os.fsdecode(b"m\xfcnchen.example"), "127.0.0.1", *FLAGS, "--json"]
    done = lab.run("den01", ["env", os.fsdecode(b"COLOTRACE_CITY=Z\xfcrich"), *command])
    rows = {row["target"]: row["colos"][0] for row in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert set(rows) == {r"m\xfcnchen.example", "127.0.0.1"}
    assert rows["127.0.0.1"]["error"] == ""
    assert rows[r"m\xfcnchen.example"]["error"] != ""
    assert rows["127.0.0.1"]["colo"]["city"] == r"Z\xfcrich"


def test_ascii_locale_gets_a_table(lab: Lab) -> None:
    """The table is in ASCII, with other characters of a name as escapes."""
    command = [AGENT, "trace", "例え..example", "127.0.0.1", *FLAGS]
    done = lab.run("den01", ["env", "PYTHONIOENCODING=ascii", *command])
    assert done.returncode == 1
    assert r"\u4f8b\u3048..example from local" in done.stdout
    assert "---" in done.stdout
