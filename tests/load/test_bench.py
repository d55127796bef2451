"""What `make bench` stands on comes up and gives figures, so that no change elsewhere breaks it.

Nothing is measured here: every subject runs once, with next to nothing to do.
"""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from lab import access
from needs import need
from rich.console import Console
from scenario.tun import tun_missing

from bench import plot, report
from bench.figures import BenchError, Figure, Run, alternate, figures_of
from bench.peers import MTR, ONE_TRACE, Peer
from bench.responder import missing
from bench.rows import ALL, Subject
from bench.session import Session


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """One that does as little as it can."""
    need(missing() or access.reason() or tun_missing())
    with ExitStack() as stack:
        yield Session(stack, Console(quiet=True), quick=True)


@pytest.mark.xdist_group("bench")
@pytest.mark.parametrize("subject", ALL, ids=lambda subject: subject.name)
def test_subject_gives_figures(session: Session, subject: Subject) -> None:
    """colotrace's own always; a peer that is not installed says so."""
    figures = list(subject.measure(session))
    assert any(figure.samples for figure in figures)
    for figure in figures:
        assert figure.samples or "not available" in figure.note, figure


def test_contenders_take_turns() -> None:
    """Each as often as configured, slow ones seldom; some may fail."""
    ran: list[str] = []

    def contender(name: str) -> Run:
        ran.append(name)
        if name == "broken":
            raise BenchError("it is not here")
        return Run({"wall": 1.0})

    samples = alternate(
        {name: lambda name=name: contender(name) for name in ("fast", "slow", "broken")},
        runs=4,
        seldom={"slow": 2},
        may_fail={"broken"},
    )
    assert [ran.count(name) for name in ("fast", "slow", "broken")] == [5, 2, 1]
    figures = figures_of("work", samples, {}, {})
    assert [(each.label, len(each.samples)) for each in figures] == [
        ("fast", 4), ("slow", 2), ("broken", 0),
    ]  # fmt: skip
    assert figures[-1].note == "not available: it is not here"


def test_bounds() -> None:
    """By the median, from above and from below."""
    figure = Figure("work", "us", "wall", "ms", (1.0, 2.0, 9.0))
    assert figure.reached is None
    assert figure.bounded(at_most=2.0).reached
    assert not figure.bounded(at_least=2.5).reached
    assert figure.bounded(at_most=3.0, note="why").note == "why"


def found(title: str, *samples: float) -> report.Found:
    """A subject with one figure."""
    figures = [Figure("work", "us", "wall", "ms", samples, at_most=2.0)]
    return report.Found(title, "limits", ["wall"], "then", figures)


def test_partial_run_keeps_other_results(tmp_path, monkeypatch) -> None:
    """It replaces the results of the subjects that it measured."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    words = ("cores", "processor", "kernel", "system", "python", "rmem_max", "load", "taken")
    facts = {**dict.fromkeys((*words, "commit"), ""), "peers": {}, "commands": {}}
    report.write({"b": found("B", 1.0), "a": found("A", 3.0)}, facts, "abc")
    report.write({"b": found("B again", 5.0)}, facts, "abc")
    told = json.loads((tmp_path / "results.json").read_text())["subjects"]
    assert [(name, each["title"]) for name, each in told.items()] == [("a", "A"), ("b", "B again")]
    assert [each["figures"][0]["reached"] for each in told.values()] == [False, False]
    assert "## A\n" in (tmp_path / "results.md").read_text()


def test_drawing_is_well_formed() -> None:
    """A bar for each contender, the bound, and escaped text."""
    figures = [Figure("w", "<us> & them", "wall", "ms", (0.5, 20.0), at_most=3.0),
               Figure("w", "zero", "wall", "ms", (0.0,))]  # fmt: skip
    root = ElementTree.fromstring(  # noqa: S314 - it is our own
        plot.drawn([plot.Panel("a & b", figures)])
    )
    assert len(root.findall("{*}rect")) == 3


REPORT = """\
HOST: here                        Loss%   Snt   Last   Avg  Best  Wrst StDev
  1.|-- 198.18.1.1                 0.0%     3    2.1   2.2   2.1   2.2   0.1
  2.|-- ???                       100.0     3    0.0   0.0   0.0   0.0   0.0
 15.|-- 203.0.113.9               33.3%     3   32.2  32.1  32.1  32.2   0.0
"""


def test_output_of_mtr_is_parsed() -> None:
    """A hop counts if it lost nothing."""
    assert MTR.answers({"stdout": REPORT}, {}) == 3


@pytest.mark.parametrize("peer", ONE_TRACE, ids=lambda peer: peer.label)
def test_command_lines_are_complete(peer: Peer) -> None:
    """With target and bound, for each peer."""
    words = peer.command("192.0.2.1", 30)
    assert words[-1] == "192.0.2.1"
    assert not any("{" in word for word in words)
