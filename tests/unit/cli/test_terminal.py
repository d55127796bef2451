"""On a real (pseudo) terminal: the progress line, indented JSON, and Ctrl-C."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager

COMMAND = [sys.executable, "-m", "colotrace_cli"]


@contextmanager
def on_terminal(arguments, environment):
    """The command as a process whose terminal this test holds."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | environment | {"TERM": "xterm-256color", "COLUMNS": "100"},
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_all(terminal):
    """Everything up to the end of the program that holds the terminal."""
    said = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # EIO: the other end is closed
            return said.decode()
        if not part:
            return said.decode()
        said += part


def test_progress_shows_and_goes(api, environment, envelope, colo_row):
    """A terminal sees what is waited for, then the table."""
    api.answers(envelope([{"target": "192.0.2.1", "colos": [colo_row()]}]))
    with on_terminal(["trace", "192.0.2.1", "--from", "den"], environment) as (process, terminal):
        said = read_all(terminal)
        assert process.wait(20) == 0
    assert said.index("tracing 192.0.2.1 from den") < said.index("192.0.2.1 from den01")
    assert "core.example" in said


def test_json_on_a_terminal_is_indented_and_harmless(api, environment, envelope):
    """The same value; what a terminal would obey is written as escapes."""
    strange = b"\xc2\x9b2J\xf0\x90\x80\x80\xf3\xa0\x80\x81\xff"
    api.answers(b'{"success":true,"errors":[],"messages":[],"result":[],"x":"' + strange + b'"}')
    with on_terminal(["colos", "--json"], environment) as (process, terminal):
        said = read_all(terminal)
        assert process.wait(20) == 0
    printed = said[said.index("{") :]
    assert '  "success": true' in printed
    assert r'"x": "\u009b2J' in printed
    assert r"\udb40\udc01" in printed
    assert "\x9b" not in printed


def test_ctrl_c_ends_quietly(api, environment):
    """Interrupted while waiting: exit code 130, no traceback, nothing more."""
    api.never_answers()
    with on_terminal(["trace", "192.0.2.1"], environment) as (process, terminal):
        assert api.arrived.wait(20)
        process.send_signal(signal.SIGINT)
        said = read_all(terminal)
        assert process.wait(20) == 130
    assert "Traceback" not in said
    assert "colotrace:" not in said
