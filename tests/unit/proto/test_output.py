"""Programs whose standard output is closed, full, does not block, or lacks characters."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pytest

HEAD = "import os, sys\nfrom colotrace_proto.output import program\n"
SPEAK = HEAD + "program('name', lambda: print('hello'))"
MUCH = HEAD + "program('name', lambda: [print(n, 'x' * 99) for n in range(20_000)])"


def run(code: str, *, line: str = '"$@"', env: dict[str, str] | None = None, **streams: int):
    """A program of its own, started by a shell that arranges its streams."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, "-c", code],
        env=os.environ | (env or {}),
        timeout=60,
        check=False,
        **streams,
    )


@pytest.mark.parametrize("code", [SPEAK, MUCH], ids=["little", "much"])
@pytest.mark.parametrize(
    ("line", "exit_code", "lines"),
    [
        ('"$@" >/dev/full', 74, 1),
        ('"$@" >&-', 74, 1),
        ('"$@" </dev/null', 0, 0),
        ('"$@" <&-', 0, 0),
        ('"$@" >/dev/full 2>&1', 74, 0),
        ('"$@" >&- 2>&-', 74, 0),
    ],
)
def test_output_that_cannot_be_written_is_an_error(
    code: str, line: str, exit_code: int, lines: int
) -> None:
    """One line that says so, and an exit code of its own; no traceback."""
    done = run(code, line=line)
    assert (done.returncode, done.stderr.count(b"\n")) == (exit_code, lines)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("code", [SPEAK, MUCH], ids=["little", "much"])
def test_closed_reader_ends_the_program_quietly(code: str) -> None:
    """With 141, as SIGPIPE would, and without a message."""
    out, into = os.pipe()
    os.close(out)
    done = run(code, stdout=into)
    os.close(into)
    assert (done.returncode, done.stderr) == (141, b"")


def test_standard_error_that_cannot_be_written_is_no_failure() -> None:
    """Closed, full or without a reader: standard output is complete."""
    code = HEAD + "program('name', lambda: (print('a' * 9_999, file=sys.stderr), print('b')))"
    for line in ('"$@" 2>&-', '"$@" 2>/dev/full'):
        done = run(code, line=line)
        assert (done.returncode, done.stdout) == (0, b"b\n")


def test_no_descriptor_of_the_program_becomes_its_output() -> None:
    """A socket that is opened while standard output is closed does not get its number."""
    code = (
        HEAD + "program('name', lambda: print(os.open('/dev/null', os.O_RDONLY), file=sys.stderr))"
    )
    done = run(code, line='"$@" <&- >&-')
    assert int(done.stderr) > 2


def test_pipe_that_does_not_block_loses_nothing() -> None:
    """The writer waits for a slow reader."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    read = bytearray()

    def slowly() -> None:
        while part := os.read(out, 65_536):
            read.extend(part)
            time.sleep(0.001)

    reader = threading.Thread(target=slowly)
    reader.start()
    done = run(MUCH, stdout=into)
    os.close(into)
    reader.join()
    os.close(out)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [int(line.split()[0]) for line in read.splitlines()] == list(range(20_000))


@pytest.mark.parametrize(
    ("env", "shown"),
    [
        ({"PYTHONIOENCODING": "ascii"}, rb"Z\xfcrich... -> \u4f8b \xfc"),
        ({"PYTHONIOENCODING": "latin-1"}, b"Z\xfcrich... -> \\u4f8b \\xfc"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, None),
        ({"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}, "Zürich… → 例 \\xfc".encode()),
    ],
)
def test_every_character_can_be_written_in_every_locale(env: dict[str, str], shown: bytes | None):
    """To both streams, also a byte from an argument."""
    text = r"'Z\xfcrich\u2026 \u2192 \u4f8b \udcfc'"
    code = HEAD + f"program('name', lambda: (print({text}), print({text}, file=sys.stderr)))"
    done = run(code, env=env)
    assert done.returncode == 0
    assert done.stdout == done.stderr
    if shown is not None:
        assert done.stdout == shown + b"\n"


@pytest.mark.parametrize(
    ("body", "exit_code"),
    [
        ("lambda: sys.exit(3)", 3),
        ("lambda: None", 0),
        ("lambda: (_ for _ in ()).throw(KeyboardInterrupt)", 130),
    ],
)
def test_exit_code_is_the_programs(body: str, exit_code: int) -> None:
    """If its output could be written."""
    assert run(HEAD + f"program('name', {body})").returncode == exit_code


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("colotrace_cli", ["--help"]),
        ("colotrace_agent", ["--help"]),
        ("colotrace_coordinator", ["--version"]),
        ("colotrace_coordinator", ["nonsense"]),
    ],
)
def test_all_programs_report_failed_output(name: str, words: Sequence[str]) -> None:
    """In their help, version and usage errors."""
    code = "import sys; sys.argv[1:] = " + repr(list(words))
    code += f"\nfrom {name}.__main__ import main; main()"
    done = run(code, line='"$@" >/dev/full')
    assert done.returncode == (2 if words == ["nonsense"] else 74)
    assert b"Traceback" not in done.stderr


def test_interrupted_program_does_not_wait_for_its_reader() -> None:
    """Even if it has handled Ctrl-C itself and ends with its exit code: the rest of its buffer is
    more than the pipe takes."""
    code = HEAD + (
        "def main():\n"
        "    os.set_blocking(1, False)\n"
        "    while True:\n"
        "        try: os.write(1, b'x' * 4096)\n"
        "        except BlockingIOError: break\n"
        "    os.set_blocking(1, True)\n"
        "    print('left')\n"
        "    sys.exit(130)\n"
        "program('name', main)"
    )
    out, into = os.pipe()
    try:
        done = run(code, stdout=into)
    finally:
        os.close(out)
        os.close(into)
    assert (done.returncode, done.stderr) == (130, b"")
