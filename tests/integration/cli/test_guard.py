"""`colotrace guard`: its exit code, its Markdown, and the command's signals."""

import os
import signal
import subprocess
import sys

import pytest
from colotrace_cli import guarding
from emulated import on_terminal, read_all, read_some

COMMAND = [sys.executable, "-m", "colotrace_cli"]


def identity(number):
    return f"{number:032x}"


@pytest.fixture
def tracing(api, envelope, colo_row, monkeypatch):
    """Each trace has the next number; `differ` says which pairs of them differ, and which have
    other flows."""
    monkeypatch.setattr(guarding, "EACH_S", 0)
    traced = []
    differ = set()

    def answer(handler):
        if handler.command == "POST":
            traced.append(identity(len(traced) + 1))
            rows = [{"target": "192.0.2.1", "colos": [colo_row()]}]
            api.replying(envelope(rows), headers={"Measurement-Id": traced[-1]})(handler)
            return
        before, _, after = handler.path.partition("/traceroute/")[2].partition("/diff/")
        pair = (int(before, 16), int(after, 16))
        changed = pair in differ or pair[::-1] in differ
        row = {"target": "192.0.2.1", "colo": "den01"}
        found = {
            "before": before,
            "after": after,
            "empty": not changed,
            "rows": 1,
            "paths": 0 if ("flows", *pair) in differ else 1,
            "in_words": ["1 row compared: 1 row differs", "den01 loses|`more`", "1 row only before"]
            if changed
            else ["1 row compared: no difference"],
            "clusters": [{"in_words": "den01 loses|`more`", "rows": [row]}] if changed else [],
            "changes": [
                row
                | {
                    "went": [{"ttl": 2, "ip": "192.0.2.7", "name": "old.example", "asn": "AS1"}],
                    "appeared": [{"ttl": 2, "ip": "192.0.2.8", "name": "", "asn": ""}],
                    "rtt": {"before_ms": 1.0, "after_ms": 13.5, "change_ms": 12.5},
                }
            ]
            if changed
            else [],
            "not_compared": [{"why": "other_flow", "in_words": "x", "rows": [row]}]
            if ("flows", *pair) in differ
            else [],
        }
        api.replying(envelope(found))(handler)

    api.answer = answer
    return traced, differ


def guard(run, *words):
    return run("guard", "192.0.2.1", "--from", "den", "--", *words)


def python(code):
    return [sys.executable, "-c", code]


def test_no_difference_ends_with_0(run, tracing):
    result = guard(run, "true")
    assert result.exit_code == 0
    assert result.stdout.startswith("## No difference found after `true`\n")
    assert "Stable after 2 traces" in result.stdout


def test_difference_ends_with_4_and_is_told(run, tracing):
    _, differ = tracing
    differ.add((1, 3))
    result = guard(run, "true")
    assert result.exit_code == 4
    lines = result.stdout.splitlines()
    assert lines[0] == "## 1 row differs after `true`"
    assert "- `den01 loses\\x7c\\x60more\\x60`" in lines
    assert "- `1 row only before`" in lines
    assert "- `hop 2: - 192.0.2.7 (old.example, AS1)`" in lines
    assert "- `hop 2: + 192.0.2.8`" in lines
    assert "- `RTT: 1.000 → 13.500 ms (+12.500 ms)`" in lines


def test_commands_own_failure_wins(run, tracing):
    """Also over a difference; the ticket is printed all the same."""
    _, differ = tracing
    differ.add((1, 3))
    result = guard(run, *python("raise SystemExit(7)"))
    assert result.exit_code == 7
    assert "ended with 7" in result.stdout
    assert "1 row differs" in result.stdout


def test_it_traces_until_two_in_a_row_are_the_same(run, tracing):
    traced, differ = tracing
    differ |= {(2, 3), (3, 4), (1, 5)}
    result = guard(run, "true")
    assert len(traced) == 5  # 1 before; 2 to 5 after, of which 4 and 5 are the same
    assert "Stable after 4 traces" in result.stdout
    assert identity(5) in result.stdout
    assert result.exit_code == 4


def test_paths_of_other_flows_are_traced_again_later(run, tracing, monkeypatch):
    """That nothing differs says nothing there."""
    monkeypatch.setattr(guarding, "FLOWS_S", 0)
    traced, differ = tracing
    differ |= {("flows", 2, 3), ("flows", 3, 4)}
    result = guard(run, "true")
    assert len(traced) == 5
    assert "Stable after 4 traces" in result.stdout


def test_paths_that_never_settle_are_given_up(run, tracing, monkeypatch):
    monkeypatch.setattr(guarding, "MOST_S", 0)
    result = guard(run, "true")
    assert result.exit_code == 0
    assert "**Not stable**: 1 trace" in result.stdout


@pytest.mark.parametrize(
    ("word", "code", "why"),
    [("/nowhere/command", 127, "No such file"), ("/", 126, "Permission denied")],
)
def test_command_that_cannot_be_started_ends_as_in_a_shell(run, tracing, word, code, why):
    result = guard(run, word)
    assert result.exit_code == code
    assert why in result.stderr


def test_command_does_not_run_if_nothing_can_be_traced(api, run, failure, tmp_path):
    api.answers(failure({"code": 10000, "message": "x"}), status=401)
    result = guard(run, *python(f"open({str(tmp_path / 'ran')!r}, 'w')"))
    assert result.exit_code == 3
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("code", "exit_code"), [(0, 3), (7, 7)])
def test_coordinator_that_fails_after_the_command(api, run, tracing, failure, code, exit_code):
    """The command's own failure wins here, too."""
    before = api.answer
    calls = []

    def answer(handler):
        calls.append(1)
        if len(calls) == 1:
            before(handler)
        else:
            api.replying(failure({"code": 1000, "message": "broken"}), status=500)(handler)

    api.answer = answer
    result = guard(run, *python(f"raise SystemExit({code})"))
    assert result.exit_code == exit_code
    assert "broken" in result.stderr


def test_command_does_not_run_if_nothing_can_be_compared(api, run, envelope, tmp_path):
    """An older coordinator keeps nothing."""
    api.answers(envelope([]))
    result = guard(run, *python(f"open({str(tmp_path / 'ran')!r}, 'w')"))
    assert result.exit_code == 3
    assert not (tmp_path / "ran").exists()
    assert "keeps no measurements" in result.stderr


@pytest.mark.parametrize("words", [(), ("--",)])
def test_missing_command_is_wrong_usage(api, run, words):
    result = run("guard", "192.0.2.1", *words)
    assert result.exit_code == 2
    assert "COMMAND" in result.stderr
    assert api.asked == []


def test_standard_output_is_the_ticket_alone(api, environment, tracing):
    """The command's own goes to standard error, and its flags are not taken for ours."""
    done = subprocess.run(
        [*COMMAND, "guard", "192.0.2.1", "--", "echo", "--from", "--", "-x"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("## No difference found after `echo --from -- -x`\n")
    assert "--from -- -x\n" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signal_is_passed_on(environment, tracing, number):
    """The command decides what it means; its exit code is the program's."""
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\n"
        "time.sleep(30)\n"
    )
    process = subprocess.Popen(
        [*COMMAND, "guard", "192.0.2.1", "--", *python(code)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # These tests may run below nohup(1), where a signal is ignored.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line == "ready\n":
            break
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 9
    assert "ended with 9" in out


def test_command_that_a_signal_ends_is_told_by_128_and_more(run, tracing):
    result = guard(run, *python("import os; os.kill(os.getpid(), 9)"))
    assert result.exit_code == 137
    assert "ended with 137" in result.stdout


def test_command_has_the_signals_of_a_shell(run, tracing):
    """Not those that Python ignores, or that are blocked here while it runs."""
    code = (
        "import re; text = open('/proc/self/status').read()\n"
        "blocked = int(re.search(r'SigBlk:\\s+(\\w+)', text)[1], 16)\n"
        "raise SystemExit(bool(blocked))"
    )
    assert guard(run, *python(code)).exit_code == 0


def test_ctrl_c_on_a_terminal_reaches_the_command_once(environment, tracing):
    """The terminal sends it to the whole group; then the ticket is still printed."""
    code = (
        "import signal, sys, time\n"
        "got = []\n"
        "signal.signal(signal.SIGINT, lambda *_: got.append(1))\n"
        "print('re' + 'ady', flush=True)\n"
        "while not got: time.sleep(0.01)\n"
        "time.sleep(0.2)\n"
        "sys.exit(len(got))\n"
    )
    # The process leads a session whose terminal this is.
    leader = (
        "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "from colotrace_cli import guarding; guarding.EACH_S = 0; "
        "from colotrace_cli.main import main; main()"
    )
    said = ""
    command = ["-c", leader, "guard", "192.0.2.1", "--", *python(code)]
    with on_terminal(command, environment, program=[sys.executable]) as (process, tty):
        for text in read_some(tty):
            said += text
            if "ready" in said:
                os.write(tty, b"\x03")
                break
        said += read_all(tty)
        assert process.wait(20) == 1
    assert "ended with 1" in said
