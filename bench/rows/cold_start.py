"""`colotrace-agent trace` as an operator runs it: time from start to exit, and the imports'
share."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.figures import Figure, Measurement, Run, alternate, figures_of
from bench.peers import TRACEROUTE
from bench.places import Place
from bench.rows.subject import Subject
from bench.session import Session

_WORK = "colotrace-agent trace TARGET, RTT ≈ 0"
_IMPORTS = "its imports, by package (-X importtime, which makes them slower)"
_AGENT = Path(sys.executable).parent / "colotrace-agent"
_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")
_SHOWN = 8
_US = "colotrace-agent trace"
_WALL_MS = 600.0


def _measure(session: Session) -> Iterator[Figure]:
    place = session.routers()
    session.say("cold start")
    flags = ["--no-names", "--allow-private", "--json"]
    agent: list[str | Path] = [_AGENT, "trace", *flags, place.target]
    measurements: dict[str, Measurement] = {
        _US: partial(_run, place, agent),
        "python, doing nothing": partial(_run, place, [sys.executable, "-c", "pass"]),
        TRACEROUTE.label: partial(_run, place, TRACEROUTE.command(place.target)),
    }
    samples = alternate(measurements, runs=session.runs(15), warm=not session.quick)
    for figure in figures_of(_WORK, samples, {}, {}):
        ours = (figure.label, figure.quantity) == (_US, "wall")
        yield figure.bounded(at_most=_WALL_MS) if ours else figure
    session.say("cold start: imports")
    traced = [sys.executable, "-X", "importtime", *agent]
    yield from _imports([_by_package(place, traced) for _ in range(session.runs(5))])


def _run(place: Place, argv: Sequence[str | Path]) -> Run:
    done = place.inside.run(argv)
    return Run({"wall": done["wall_ms"], "CPU": done["cpu_ms"]})


def _by_package(place: Place, argv: Sequence[str | Path]) -> Counter[str]:
    """Microseconds that the modules of each top-level package took themselves."""
    spent_us: Counter[str] = Counter()
    for self_us, module in _LINE.findall(place.inside.run(argv)["stderr"]):
        package = module.partition(".")[0]
        package = "standard library" if package in sys.stdlib_module_names else package
        spent_us[package] += int(self_us)
    return spent_us


def _imports(runs: list[Counter[str]]) -> Iterator[Figure]:
    totals = tuple(sum(run.values()) / 1e3 for run in runs)
    yield Figure(_IMPORTS, "all", "imports", "ms", totals)
    ranked = sum(runs, Counter()).most_common(_SHOWN)
    for package, _ in ranked:
        yield Figure(_IMPORTS, package, "imports", "ms", tuple(run[package] / 1e3 for run in runs))


SUBJECT = Subject(
    "cold-start",
    "The command without a coordinator, cold: from its start to its exit",
    "Files are in the page cache and byte-compiled. traceroute shows the start of a C program. "
    "Limits: the imports, listed by package.",
    _measure,
    (TRACEROUTE,),
)
