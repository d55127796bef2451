"""The operator's command with two coordinators: begun at one, used at the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import wait_until
from fleet import AgentSpec, Broker, Fleet
from fleet.fleet import two_coordinators
from fleet.operator import Operator
from lab import FAMILIES, Lab

_PARTIAL = "the coordinator ended before this row did"


@pytest.fixture
def operators(coordinators: list[Fleet], tmp_path: Path) -> list[Operator]:
    """One person, at each coordinator."""
    return [Operator(each, tmp_path) for each in coordinators]


@pytest.fixture
def own_pair(lab: Lab, broker: Broker, own_agents: list[AgentSpec]) -> Iterator[list[Fleet]]:
    """Two coordinators for one test. Their agent runs one job at a time."""
    agents = own_agents[:1]
    flags = ("--max-jobs", "1")
    with two_coordinators(lab, broker, agents=agents, agent_flags=flags) as both:
        yield both


def _slow(lab: Lab) -> list[str]:
    """A trace whose first row ends at once, and the two others after 5 and 10 s."""
    dark = [lab.address("dark", family=family) for family in FAMILIES]
    return ["trace", lab.address("web"), *dark, "--wait-time", "5"]


def _running(operator: Operator) -> str:
    """The id of the measurement that runs and has begun first, once the list has it: it is written
    within a second."""

    def ids() -> list[str]:
        listed = operator.run("list").stdout.splitlines()
        return [line.split()[0] for line in listed if " running " in line]

    wait_until(lambda: bool(ids()))
    return ids()[-1]


def test_last_ones_of_one_are_named_at_the_other(operators: list[Operator]) -> None:
    one, other = operators
    for operator, colos in ((one, "den01,fra01"), (other, "@-1")):
        done = operator.run("trace", "web.lab.example", "--from", colos, "-4")
        assert done.returncode == 0, done.stderr
        assert "reached from 2 of 2 colos" in done.stdout
    ids = [one.run("open", each).stdout.strip().rpartition("/")[2] for each in ("@-1", "@-2")]
    listed = other.run("list").stdout
    assert listed.index(ids[0]) < listed.index(ids[1])
    shown = other.run("show", "@-2", "--tree")
    assert "2 colos" in shown.stdout, shown.stderr
    compared = other.run("diff", "@-2", "@-1")
    assert compared.returncode == 0, compared.stdout
    assert compared.stdout == "2 rows compared, with the paths of 2: no difference\n"
    followed = other.run("follow", "@-2")  # it has ended
    assert followed.returncode == 0, followed.stderr
    assert ids[1] in followed.stdout


def test_trace_at_one_is_followed_and_cancelled_at_the_other(
    lab: Lab, own_pair: list[Fleet], tmp_path: Path
) -> None:
    """Both draw a row that has ended before the others do, and what there is at the end."""
    here, there = (Operator(each, tmp_path) for each in own_pair)
    with here.watch(*_slow(lab)) as traced:
        traced.until("1 of 3 rows")
        traced.until("so far")
        running = _running(there)
        with there.watch("follow", running) as followed:
            followed.until("1 of 3 rows")
            followed.until("so far")
            cancelled = there.run("cancel", running)
            assert cancelled.returncode == 0, cancelled.stderr
            assert ", cancelled" in cancelled.stdout
            codes = followed.end(), traced.end()
    assert codes == (1, 1)
    for text in (followed.text, traced.text):
        assert "1 reached the target, 2 with an error" in text
        assert text.count("den01: the measurement was cancelled before this row ended") >= 2
        assert "so far" not in text


def test_watched_coordinator_that_is_killed(
    lab: Lab, own_pair: list[Fleet], tmp_path: Path
) -> None:
    """Who follows at the other one learns that the measurement is partial; who traces at the killed
    one, as soon as it is back; without a terminal, the remedy is told at once."""
    here, there = (Operator(each, tmp_path) for each in own_pair)
    with here.watch(*_slow(lab)) as traced:
        traced.until("1 of 3 rows")
        with here.begin(*_slow(lab)) as plain, there.watch("follow", _running(there)) as followed:
            followed.until("1 of 3 rows")
            own_pair[0].stop_coordinator(kill=True)
            code, out, errors = plain.end(within_s=20)
            assert (code, out) == (3, "")
            assert "the connection broke" in errors
            assert "if the measurement has begun, it is in: colotrace list" in errors
            own_pair[0].start_coordinator()
            assert (followed.end(), traced.end()) == (1, 1)
    assert ", partial" in followed.text
    for text in (followed.text, traced.text):
        assert "reached from 1 of 1 colos" in text
        assert text.count(f"den01: {_PARTIAL}") >= 2
    shown = there.run("show", "@-1")
    assert shown.returncode == 1
    assert ", partial" in shown.stdout
