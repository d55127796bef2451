"""The command whose output cannot be written, or is not read."""

import os
import signal
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "colotrace_cli"]
MANY = 90
"""Tables of so many colos are more than a pipe holds."""


@pytest.fixture
def answered(api, envelope, colo_row):
    """An answer that is long."""
    colos = [colo_row() for _ in range(MANY)]
    api.answers(envelope([{"target": "192.0.2.1", "colos": colos}] * 5))


def start(words, environment, *, line='"$@"', **streams):
    """The command, its streams as a shell arranges them."""
    return subprocess.Popen(
        ["sh", "-c", line, "sh", *COMMAND, *words],
        env=os.environ | environment,
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams),
    )


@pytest.mark.parametrize("form", [["--full"], ["--json"]], ids=["table", "json"])
@pytest.mark.parametrize(("to", "code", "lines"), [("/dev/full", 74, 1), ("&-", 74, 1)])
def test_output_that_cannot_be_written(answered, environment, form, to, code, lines):
    """One line on standard error; no traceback."""
    process = start(["trace", "192.0.2.1", *form], environment, line=f'exec "$@" >{to}')
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count(b"\n")) == (code, lines)


@pytest.mark.parametrize("form", [["--full"], ["--json"]], ids=["table", "json"])
def test_a_reader_that_goes_away_ends_it_quietly(answered, environment, form):
    """As after `| head`."""
    process = start(["trace", "192.0.2.1", *form], environment)
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_ctrl_c_while_nobody_reads(answered, environment):
    """The command waits for its reader, and ends when it is told to."""
    process = start(["trace", "192.0.2.1", "--full"], environment, line='exec "$@"')
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert b"Traceback" not in process.stderr.read()
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["trace", "m\udcfcnchen"], {}),
        (["trace", "192.0.2.1", "--from", "\udcff"], {}),
        (["colos"], {"COLOTRACE_ACCOUNT": "\udcff"}),
        (["colos"], {"COLOTRACE_TOKEN": "\udcff"}),
        (["colos"], {"COLOTRACE_URL": "http://\udcff"}),
        (["colos"], {"COLOTRACE_CA_FILE": "/nowhere/\udcff"}),
    ],
)
def test_what_is_not_utf_8_is_wrong_usage(api, run, words, settings):
    """It is said, and nothing is sent."""
    result = run(*words, env=settings)
    assert result.exit_code == 2
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert api.asked == []
