"""`colotrace-agent trace --targets-file -` with targets from a slow pipe."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fleet import alone
from lab import FAMILIES, Lab, Process

AGENT = Path(sys.executable).parent / "colotrace-agent"


@pytest.fixture
def tracing(lab: Lab) -> Process:
    """The command, waiting for its first target."""
    argv = [AGENT, "trace", "--targets-file", "-", "--json", "--no-names", "--allow-private"]
    pipe = subprocess.PIPE
    return lab.spawn("den01", argv, stdin=pipe, stdout=pipe, stderr=pipe)


def traced(tracing: Process, target: str) -> None:
    """Write a target and read its row while the pipe stays open."""
    assert tracing.stdin is not None
    assert tracing.stdout is not None
    tracing.stdin.write(f"{target}\n".encode())
    tracing.stdin.flush()
    row = json.loads(tracing.stdout.readline())
    assert (row["target"], row["colos"][0]["error"]) == (target, "")


def test_each_target_starts_when_its_line_is_read(tracing: Process, lab: Lab) -> None:
    """Its row is printed before the next line is written."""
    traced(tracing, lab.address("web"))
    traced(tracing, lab.address("web", family=6))
    _, errors = tracing.communicate(timeout=20)
    assert (tracing.returncode, errors) == (0, b"")


def test_interrupted_while_it_waits(tracing: Process, lab: Lab) -> None:
    """It ends although the pipe is still open."""
    traced(tracing, lab.address("web"))
    tracing.send_signal(signal.SIGINT)
    assert tracing.wait(timeout=10) == 130
    _, errors = tracing.communicate(timeout=10)
    assert errors == b""


def test_missing_file_is_reported(lab: Lab) -> None:
    """In one line, like other wrong usage."""
    done = lab.run("den01", [AGENT, "trace", "--targets-file", "/none"])
    assert done.returncode == 2
    assert done.stderr == "colotrace-agent: --targets-file /none: No such file or directory\n"


@pytest.mark.parametrize("packet_type", ["icmp", "udp", "tcp", "gre"])
def test_file_gives_the_same_paths_as_arguments(lab: Lab, tmp_path: Path, packet_type: str) -> None:
    """Both families, names, untraceable targets, and a duplicate target."""
    names = ["web", "far", "sin01", "edge", "dark"]
    targets = [lab.address(name, family=family) for name in names for family in FAMILIES]
    targets += ["web.lab.example", "nobody.lab.example", "224.0.0.1", targets[0], "  # nothing"]
    listed = tmp_path / "targets"
    listed.write_text("\n".join(targets))
    flags = ["--packet-type", packet_type, "--packets-per-ttl", "2"]
    told = alone.trace(lab, "den02", targets[:-2], *flags)
    argv = [AGENT, "trace", "--targets-file", listed, "--json", "--no-names", "--allow-private"]
    done = lab.run("den02", [*argv, *flags])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(row["target"] for row in rows) == sorted(targets[:-1])
    assert done.returncode == 1
    for row in rows:
        (found,), wanted = row["colos"], told.rows[row["target"]]
        assert found["error"] == wanted["error"], row["target"]
        assert len(found["hops"]) == len(wanted["hops"]), row["target"]
        if row["target"] == targets[0]:  # its second trace has another flow
            continue
        for hop, same in zip(found["hops"], wanted["hops"], strict=True):
            assert {node["ip"] for node in hop["nodes"]} == {node["ip"] for node in same["nodes"]}
        assert found["target_summary"].keys() == wanted["target_summary"].keys()
    assert "nobody.lab.example: nobody.lab.example does not resolve" in done.stderr


def test_interrupt_prints_started_targets(lab: Lab) -> None:
    """On Ctrl-C each started target has a row with the hops so far."""
    argv = [AGENT, "trace", "--targets-file", "-", "--json", "--no-names", "--allow-private"]
    pipe = subprocess.PIPE
    tracing = lab.spawn("den01", [*argv, "--wait-time", "5"], stdin=pipe, stdout=pipe, stderr=pipe)
    assert tracing.stdin is not None
    assert tracing.stdout is not None
    tracing.stdin.write(f"{lab.address('dark')}\n{lab.address('web')}\n".encode())
    tracing.stdin.flush()
    assert json.loads(tracing.stdout.readline())["target"] == lab.address("web")
    tracing.send_signal(signal.SIGINT)
    out, _ = tracing.communicate(timeout=10)
    assert tracing.returncode == 130
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert row["target"] == lab.address("dark")
    assert [node["ip"] for node in row["colos"][0]["hops"][0]["nodes"]] != [""]


NO_ANSWERS = """
    table inet mute {
        chain out { type filter hook output priority 0; udp dport 53 counter drop; }
    }"""


def test_interrupt_while_name_servers_are_silent(lab: Lab) -> None:
    """Many look-ups run and more wait; Ctrl-C still ends the run."""
    names = "".join(f"n{number}.lab.example\n" for number in range(1_000))
    argv = [AGENT, "trace", "--targets-file", "-", "--json", "--no-names", "--allow-private"]
    assert lab.run("fra01", ["nft", NO_ANSWERS]).returncode == 0
    try:
        pipe = subprocess.PIPE
        tracing = lab.spawn("fra01", argv, stdin=pipe, stdout=pipe, stderr=pipe)
        assert tracing.stdin is not None
        tracing.stdin.write(names.encode())
        tracing.stdin.flush()
        deadline = time.monotonic() + 60
        while "packets 0 " in lab.run("fra01", ["nft", "list", "table", "inet", "mute"]).stdout:
            assert time.monotonic() < deadline
        tracing.send_signal(signal.SIGINT)
        tracing.communicate(timeout=30)
    finally:
        lab.run("fra01", ["nft", "delete", "table", "inet", "mute"])
    assert tracing.returncode == 130
