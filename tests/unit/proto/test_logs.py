"""What of strangers' doings comes into the logs, and how much."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading

import pytest
import structlog
from colotrace_proto.logs import Floods, Lines
from manual_clock import ManualClock


def passed(floods: Floods, count: int, **event: object) -> list[dict]:
    """Those of so many events that are logged."""
    kept = []
    for _ in range(count):
        with contextlib.suppress(structlog.DropEvent):
            kept.append(dict(floods(None, "info", {"event": "request", **event})))
    return kept


def test_a_flood_is_limited_and_counted() -> None:
    """A burst passes, then so many a second; the next line has the number of the others."""
    clock = ManualClock()
    floods = Floods(clock, burst=5, per_s=2)
    assert len(passed(floods, 100)) == 5
    clock.now += 1
    first, second = passed(floods, 10)
    assert first["suppressed"] == 95
    assert "suppressed" not in second
    clock.now += 1_000
    assert [event.get("suppressed") for event in passed(floods, 5)] == [8, *[None] * 4]


def test_events_of_an_account_are_not_limited() -> None:
    """The account's quota limits those."""
    floods = Floods(ManualClock(), burst=5, per_s=2)
    assert len(passed(floods, 100, account="acct", credential=None)) == 100
    assert len(passed(floods, 100, account=None)) == 5


def test_one_name_does_not_use_up_anothers() -> None:
    """Nor do a library's sentences, of which each may be a new one, use up memory."""
    floods = Floods(ManualClock(), burst=5, per_s=2)
    passed(floods, 100)
    assert len(passed(floods, 100, event="agent_attached")) == 5
    sentences = [passed(floods, 1, event=f"bad {n}", logger="http") for n in range(100)]
    assert sum(map(len, sentences)) == 5


def test_names_are_bounded() -> None:
    """Beyond that number all new ones count as one."""
    floods = Floods(ManualClock(), burst=5, per_s=2)
    assert sum(len(passed(floods, 1, event=str(n))) for n in range(1_000)) == 1_000
    assert sum(len(passed(floods, 1, event=str(n))) for n in range(1_000, 5_000)) == 5


async def test_a_reader_that_stands_still_costs_lines_not_time() -> None:
    """Lines are dropped, and counted once there is room."""
    out, into = os.pipe()
    before = writers()
    lines = Lines(json=True, descriptor=into)
    long = "x" * 9_000
    for number in range(1_000):
        lines.write(json.dumps({"event": long, "number": number}) + "\n")

    def read() -> list[dict]:
        """Up to the first line that was written while this read."""
        found = []
        with os.fdopen(out) as reading:
            for line in reading:
                found.append(json.loads(line))
                if found[-1].get("number", 0) >= 1_000:
                    break
        return found

    reading = asyncio.create_task(asyncio.to_thread(read))
    number = 1_000
    while not reading.done():
        lines.write(json.dumps({"event": "short", "number": number}) + "\n")
        number += 1
        await asyncio.sleep(0.001)
    *found, last = await reading
    dropped = [each["lines"] for each in found if each["event"] == "log_lines_dropped"]
    assert len(found) - len(dropped) + sum(dropped) == last["number"]
    assert max(dropped) > 1
    lines.write("nobody reads\n")  # which ends the thread
    for thread in writers() - before:
        await asyncio.to_thread(thread.join, 10)
    os.close(into)


def writers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "writer"}


def test_before_the_loop_runs_there_is_no_thread() -> None:
    """A thread that starts before privileges have been given up would keep them."""
    out, into = os.pipe()
    lines = Lines(json=True, descriptor=into)
    before = writers()
    lines.write("line\n")
    assert writers() == before
    assert os.read(out, 100) == b"line\n"
    os.close(out)
    lines.write("nobody reads\n")
    os.close(into)


@pytest.mark.parametrize("form", ["True", "False"], ids=["json", "console"])
def test_a_process_logs_safe_lines(form: str) -> None:
    """Of its own and of libraries; all of them are there at its end."""
    code = f"""
import asyncio, logging, structlog
from colotrace_proto.logs import configure
configure(json={form})
log = structlog.get_logger()
async def main():
    secret = "token-1"
    log.info("request", path="/\\x1b]0;title\\x07\\u202e" + "x" * 100_000, client="\\udcff")
    logging.getLogger("library").warning("said \\x9b %s", "\\n{{}}")
    try:
        raise ValueError("from \\x1b a peer")
    except ValueError:
        log.exception("failed")
log.info("before")
asyncio.run(main())
log.info("after")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        timeout=60,
        check=True,
    )
    text = done.stderr.decode()
    assert text.replace("\n", "").isprintable()
    assert "token-1" not in text
    assert len(text) < 4_000
    assert text.count("Traceback") == 1
    if form == "True":
        events = [json.loads(line) for line in text.splitlines()]
        assert [event["event"] for event in events] == [
            "before", "request", r"said \x9b \n{}", "failed", "after",
        ]  # fmt: skip
        assert events[1]["path"].startswith(r"/\x1b]0;title\x07\u202exxx")
        assert len(events[1]["path"]) == 500
        assert events[1]["client"] == r"\xff"
        assert events[2]["logger"] == "library"
        assert events[3]["exception"].endswith(r"ValueError: from \x1b a peer")
