"""On a real (pseudo) terminal: what is drawn while it works, JSON, and Ctrl-C."""

import json
import os
import signal
import threading

import pytest
from emulated import Screen, on_terminal, read_all, read_some

MEASUREMENT = "0198c0de" * 4


@pytest.fixture
def held(api, summary, colo_row):
    """A stream that has sent some hops, and goes on when `api.released` is set."""

    def answer(handler):
        start = ("start", {"measurement": summary("running"), "rows": 1})
        hops = ("hops", {"target": 0, "colo": 0, "hops": colo_row()["hops"], "fresh": False})
        api.streaming(start, hops)(handler)
        api.released.wait(30)
        row = ("row", {"target": 0, "colo": 0, "row": colo_row()})
        for number, (kind, data) in enumerate([row, ("end", {"measurement": summary()})], 3):
            lines = f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
            handler.wfile.write(lines.encode())

    api.on("POST", "", answer)


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("coding", ["utf-8", "ascii"])
def test_table_fills_and_makes_way_for_the_result(api, environment, held, columns, coding):
    """Nothing of it is left, no line is wider than the terminal, and the cursor is back."""
    env = environment | {"PYTHONIOENCODING": coding}
    screen = Screen(columns)
    with on_terminal(["trace", "192.0.2.1"], env, columns=columns) as (process, terminal):
        for text in read_some(terminal):
            screen.feed(text)
            seen = "\n".join(screen.lines)
            if "up to hop 1 so far" in seen and "192.0.2.1" in "".join(
                screen.lines[1 if columns < 60 else 4 :][:1]
            ):
                assert "tracing" in screen.lines[0]
                assert "0 of 1 rows" in screen.lines[0]
                assert screen.hidden
                api.released.set()
        assert process.wait(20) == 0
    assert api.released.is_set()
    assert screen.widest <= columns
    assert not screen.hidden
    seen = "\n".join(screen.lines)
    assert seen.startswith("192.0.2.1 from den01")
    assert "1 trace in " in " ".join(screen.lines)
    assert "so far" not in seen
    assert coding != "ascii" or seen.isascii()


@pytest.mark.parametrize("rows", [3, 10, 24])
def test_frame_is_never_higher_than_the_terminal(
    api, environment, summary, colo_row, envelope, rows
):
    """Otherwise lines would scroll away and stay. What is left out is counted."""
    colos = [f"c{n:02d}" for n in range(30)]
    hops = [
        ("hops", {"target": 0, "colo": n, "hops": colo_row()["hops"], "fresh": False})
        for n in range(30)
    ]
    start = ("start", {"measurement": summary("running", colos=colos), "rows": 30})
    end = ("end", {"measurement": summary(colos=colos)})
    found = [{"target": "192.0.2.1", "colos": [colo_row(name) for name in colos]}]

    def answer(handler):
        api.streaming(start, *hops)(handler)
        api.released.wait(30)
        handler.wfile.write(f"event: end\ndata: {json.dumps(end[1])}\n\n".encode())

    api.on("POST", "", answer)
    api.on("GET", f"/{MEASUREMENT}", api.replying(envelope(found)))
    screen = Screen(80)
    with on_terminal(["trace", "192.0.2.1"], environment, rows=rows) as (process, terminal):
        for text in read_some(terminal):
            screen.feed(text)
            if "more rows" in "\n".join(screen.lines):
                assert len(screen.lines) <= rows
                assert "more rows" in screen.lines[-2]
                api.released.set()
        assert process.wait(20) == 0
    assert api.released.is_set()
    assert screen.lines[0] == "192.0.2.1: reached from 30 of 30 colos"


def test_nothing_is_drawn_into_a_pipe(api, environment, envelope, colo_row):
    """Standard error is the terminal: it gets the drawing; the pipe gets the result alone."""
    api.on("POST", "", api.streaming())  # no event at all: asked for again by its id
    ours, theirs = os.pipe()
    found = envelope([{"target": "192.0.2.1", "colos": [colo_row()]}])
    api.on("GET", f"/{MEASUREMENT}/events", api.replying(b"", status=404))
    api.on("GET", f"/{MEASUREMENT}", api.replying(found))
    with on_terminal(["trace", "192.0.2.1"], environment, stdout=theirs) as (process, terminal):
        os.close(theirs)
        said = read_all(terminal)
        assert process.wait(20) == 0
    with os.fdopen(ours) as pipe:
        printed = pipe.read()
    assert "\x1b" not in printed
    assert printed.startswith("192.0.2.1 from den01")
    assert "tracing" in said


def test_no_terminal_no_events(api, run, envelope):
    """The answer is asked for as a whole."""
    api.answers(envelope([]))
    run("trace", "192.0.2.1")
    assert api.asked[0][2]["accept"] == "application/json"


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=["NO_COLOR", "dumb", "colour"]
)
def test_colour_is_left_out_where_it_is_not_wanted(api, environment, envelope, colo_row, env):
    failed = colo_row("sin01", error="Could not gather traceroute data: Code 2")
    api.answers(envelope([{"target": "192.0.2.1", "colos": [colo_row(), failed]}]))
    with on_terminal(["trace", "192.0.2.1"], environment | env) as (process, terminal):
        said = read_all(terminal)
        assert process.wait(20) == 1
    assert ("\x1b[31m" in said) == (not env)
    assert ("\x1b[1m" in said) == (not env)
    assert "error 2" in said  # in words, too


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


def test_document_on_a_terminal_is_harmless(api, environment):
    api.answers("a\tb\nevil\x1b[2J\x9b\n".encode(), headers={"content-type": "text/csv"})
    command = ["show", MEASUREMENT, "--format", "csv"]
    with on_terminal(command, environment) as (process, terminal):
        said = read_all(terminal)
        assert process.wait(20) == 0
    assert said.endswith("a    b\r\nevil\\x1b[2J\\x9b\r\n")


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


def test_ctrl_c_takes_a_live_trace_back(api, run, environment, held, envelope, summary):
    """It would go on otherwise. `follow` leaves it running. What there is can be named."""
    taken_back = threading.Event()

    def cancelled(handler):
        taken_back.set()
        api.replying(envelope(summary("cancelled")))(handler)

    api.on("DELETE", f"/{MEASUREMENT}?if=running", cancelled)
    with on_terminal(["trace", "192.0.2.1"], environment) as (process, terminal):
        for text in read_some(terminal):
            if "so far" in text:
                process.send_signal(signal.SIGINT)
                break
        assert taken_back.wait(20)
        read_all(terminal)
        assert process.wait(20) == 130
    assert run("open", "@-1").stdout.strip().endswith(MEASUREMENT)


def test_ctrl_c_leaves_what_is_followed(api, environment, summary):
    start = ("start", {"measurement": summary("running"), "rows": 1})
    api.on("GET", f"/{MEASUREMENT}/events", api.streaming(start, ends=False))
    with on_terminal(["follow", MEASUREMENT], environment) as (process, terminal):
        for text in read_some(terminal):
            if "waiting" in text:
                process.send_signal(signal.SIGINT)
                break
        read_all(terminal)
        assert process.wait(20) == 130
    assert [method for method, *_ in api.asked] == ["GET"]
