"""The operator's command against a real coordinator: traced, listed, shown, compared."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import pytest
from fleet import Fleet
from fleet.operator import Operator
from lab import Lab, plan, uplinks

Run = Callable[..., subprocess.CompletedProcess[str]]
_ROUTER, _TARGET = "split", "many77"
_OVER_ONE_LINK = pytest.mark.parametrize("fleet", ["direct"], indirect=True)


@pytest.fixture
def operator(fleet: Fleet, tmp_path: Path) -> Operator:
    """Somebody with a state of their own."""
    return Operator(fleet, tmp_path)


@pytest.fixture
def run(operator: Operator) -> Run:
    """Runs the command to its end."""
    return operator.run


class Way:
    """The way from `split` to one target, which nothing else uses."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.target = lab.address(_TARGET)
        (line,) = (line for line in plan.node_lines(_ROUTER) if f" {self.target} " in line)
        self._balanced = line.removeprefix("route add ")

    def command(self, way: str) -> list[str]:
        """What leads it by `up` or `down` only."""
        own, next_hop = self._lab.address(_ROUTER), self._lab.address(way)
        route = f"{self.target} src {own} via {next_hop} dev to-{way} onlink"
        return self._lab.command(_ROUTER, ["ip", "route", "replace", *route.split()])

    def lead(self, way: str) -> None:
        subprocess.run(self.command(way), check=True)

    def restore(self) -> None:
        uplinks.ip(self._lab, _ROUTER, f"route replace {self._balanced}")


@pytest.fixture
def path(lab: Lab) -> Iterator[Way]:
    """It leads by `up`."""
    path = Way(lab)
    path.lead("up")
    yield path
    path.restore()


def test_last_measurement_is_listed_shown_and_compared(run: Run) -> None:
    trace = ["trace", "web.lab.example", "--from", "den01,fra01", "-4"]
    assert run(*trace).returncode == 0
    assert run(*trace[:2], "--from", "@-1", "-4").returncode == 0
    last = run("open", "@-1").stdout.strip()
    assert last.rpartition("/")[2] in run("list").stdout
    shown = run("show", last, "--tree")
    assert "web.lab.example" in shown.stdout
    assert "2 colos" in shown.stdout
    compared = run("diff", "@-2", "@-1")
    assert compared.returncode == 0, compared.stdout
    assert compared.stdout.startswith("2 rows compared, with the paths of 2")


def test_asynchronous_one_is_followed_to_its_end(run: Run) -> None:
    begun = run("trace", "web.lab.example", "--from", "limit:1", "--async")
    assert begun.returncode == 0, begun.stderr
    followed = run("follow", begun.stdout.strip())
    assert followed.returncode == 0, followed.stderr
    assert "1 trace in" in followed.stdout


def test_guarded_command_that_changes_nothing(run: Run) -> None:
    done = run("guard", "web.lab.example", "--from", "den01", "-4", "--", "true")
    assert done.returncode == 0, done.stdout
    assert "Stable after" in done.stdout


@_OVER_ONE_LINK
def test_guarded_command_that_changes_the_path(operator: Operator, lab: Lab, path: Way) -> None:
    """The ticket has the routers that it changed; the exit code says that something differs."""
    words = ["guard", path.target, "--from", "den01", "--", *path.command("down")]
    done = operator.run(*words)
    assert done.returncode == 4, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("## 1 row differs after `")
    assert "- Stable after " in done.stdout
    gone, came = (f"hop 4: {sign} {lab.address(way)}" for sign, way in (("-", "up"), ("+", "down")))
    assert any(line.startswith(f"- `{gone} ") for line in lines), done.stdout
    assert any(line.startswith(f"- `{came} ") for line in lines)
    assert done.stderr.count("\n") == 1  # the note; nothing was retried


@_OVER_ONE_LINK
def test_watched_path_that_changes(operator: Operator, lab: Lab, path: Way) -> None:
    """Each round has a line, and what changed below it, until Ctrl-C."""
    with operator.begin("trace", path.target, "--from", "den01", "--watch", "1s") as process:
        lines = iter(process.stdout.readline, "")
        first = list(takewhile(lambda line: "no change" not in line, lines))
        assert any(line.startswith(f"{path.target} from den01") for line in first)
        path.lead("down")
        next(line for line in lines if line.endswith("Z 1 row differs\n"))
        changed = [line.strip() for line in takewhile(lambda line: "no change" not in line, lines)]
        process.interrupt()
        code, rest, errors = process.end(within_s=20)
    assert code == 130
    up, down = map(lab.address, ("up", "down"))
    assert any(line.startswith(f"hop 4: - {up} ") for line in changed), changed
    assert any(line.startswith(f"hop 4: + {down} ") for line in changed)
    assert "Traceback" not in errors
    assert (errors, rest) == ("", "")
