"""Labs run side by side, are removed completely, and are removed by the next start after a
crash."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import wait_until

from lab import Lab, LabError, namespaces, reap
from lab.owner import STATE_ROOT, Tag, started_at

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

TESTS = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"}

OWNER = """
import subprocess, sys, time
from lab import Lab
lab = Lab()
lab.up()
inside = lab.spawn("den01", ["sleep", "600"])
stubborn = lab.spawn("sin01", ["sh", "-c", "trap '' TERM; sleep 600 & wait"])
outside = lab.spawn(None, ["sleep", "600"])
print(lab.tag, inside.pid, stubborn.pid, outside.pid, flush=True)
time.sleep(600)
"""


def start_owner() -> tuple[subprocess.Popen[str], Tag, list[int]]:
    """Start another process with its own lab; returns the process, the lab's tag, and its
    programs."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    name, *pids = owner.stdout.readline().split()
    owner.stdout.close()
    tag = Tag.of(name)
    assert tag
    return owner, tag, [int(pid) for pid in pids]


def traces_of(tag: Tag) -> list[str]:
    """Everything on this machine that has a lab's tag."""
    return [
        *(name for name in namespaces.existing() if Tag.of(name) == tag),
        *(str(entry) for entry in STATE_ROOT.glob(str(tag))),
        *(name for _, name in socket.if_nameindex() if name == tag.root_link),
    ]


@pytest.fixture
def foreign() -> Iterator[str]:
    """A foreign namespace whose name resembles a lab's."""
    name = f"ctlab-foreign-{os.getpid()}"
    namespaces.create([name])
    yield name
    namespaces.delete([name])


def test_lab_is_removed_completely() -> None:
    with Lab() as lab:
        process = lab.spawn("den01", ["sleep", "600"])
        assert len(traces_of(lab.tag)) > 30
        assert lab.tag.root_link in traces_of(lab.tag)
    assert process.returncode == -signal.SIGTERM
    assert not traces_of(lab.tag)


def test_labs_run_side_by_side(lab: Lab) -> None:
    with Lab() as other:
        assert other.tag != lab.tag
        assert other.management_address != lab.management_address
        assert other.resolver != lab.resolver
        for each in (lab, other):
            done = each.run("den01", ["ping", "-c", "1", "-W", "5", "far.lab.example"])
            assert done.returncode == 0, done.stderr
    done = lab.run("den01", ["ping", "-c", "1", "-W", "5", "far.lab.example"])
    assert done.returncode == 0, done.stderr


def test_next_start_removes_only_labs_of_dead_owners(lab: Lab, foreign: str) -> None:
    dead_owner, dead, dead_pids = start_owner()
    live_owner, live, live_pids = start_owner()
    try:
        left = traces_of(live)
        assert traces_of(dead)
        assert all(started_at(pid) for pid in dead_pids)
        # From here on, another worker's start may remove it, too.
        dead_owner.kill()
        dead_owner.wait()
        with Lab():
            assert not traces_of(dead)
            assert not any(started_at(pid) for pid in dead_pids)
            assert traces_of(live) == left
            assert all(started_at(pid) for pid in live_pids)
            assert foreign in namespaces.existing()
        assert traces_of(lab.tag)
    finally:
        live_owner.kill()
        live_owner.wait()
        reap.remove_dead()
    assert not traces_of(live)
    assert not any(started_at(pid) for pid in live_pids)
    assert foreign in namespaces.existing()


def test_reused_process_id_does_not_keep_a_dead_lab() -> None:
    own = Tag.new()
    assert own.alive
    impostor = Tag(own.pid, own.started - 1, own.serial)
    assert not impostor.alive
    namespaces.create([impostor.namespace("web")])
    reap.remove_dead()
    assert not traces_of(impostor)
    assert own.alive


def test_zombie_owns_no_lab() -> None:
    with subprocess.Popen(["true"]) as child:
        wait_until(lambda: started_at(child.pid) is None)  # without reaping it
        assert Path(f"/proc/{child.pid}").exists()


@pytest.mark.parametrize(
    "name", ["ctlab-foreign", "ctlab-1-2", "ctlab-1-2-x-web", "web", "xctlab-1-2-3-web", "ct1-2-3"]
)
def test_other_names_are_not_labs(name: str) -> None:
    assert Tag.of(name) is None


def test_failed_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise LabError("no")

    lab = Lab()
    monkeypatch.setattr("lab.names.wait_ready", fail)
    with pytest.raises(LabError, match="no"):
        lab.up()
    assert not traces_of(lab.tag)


def test_down_without_up_does_nothing() -> None:
    lab = Lab()
    lab.down()
    with pytest.raises(LabError):
        _ = lab.management_address


def test_spawned_program_keeps_the_process_id(lab: Lab) -> None:
    process = lab.spawn("den01", ["sh", "-c", "echo $$"], stdout=subprocess.PIPE)
    assert process.stdout
    assert int(process.stdout.readline()) == process.pid
    assert process.wait(5) == 0
    process.stop()


def test_program_that_ignores_sigterm_is_killed_after_the_deadline(lab: Lab) -> None:
    argv = ["sh", "-c", "trap '' TERM; echo ready; while :; do read x; done"]
    process = lab.spawn("den01", argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    assert process.stop(wait_s=0.1) == -signal.SIGKILL


def test_orphans_of_a_program_end_with_the_lab() -> None:
    with Lab() as lab:
        done = lab.run("den01", ["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"])
        orphan = int(done.stdout)
        assert started_at(orphan)
    assert started_at(orphan) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_python_m_lab_shows_the_map_and_ends_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "lab"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout
        started = started_at(program.pid)
        lines = []
        for line in program.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        assert any("fra1 ── fra01" in line for line in lines)
        assert started
        tag = Tag(program.pid, started, 0)
        assert traces_of(tag)
        program.send_signal(number)
        assert program.wait(10) == 0
    assert not traces_of(tag)
