"""CPU time to compare two large measurements, and to merge the paths of one."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from functools import partial

from colotrace_analysis import diff, fate, graph
from colotrace_analysis.graph import By
from colotrace_analysis.work import Work
from load.recorded import measurement

from bench.figures import Figure, Run, alternate, figures_of
from bench.rows.subject import Subject
from bench.session import Session

_COLOS, _TARGETS = 300, 10
_MOVED, _SLOW = 0.1, 0.1
_CPU, _STEP = "CPU", "longest step"
_AT_MOST_MS = {"diff": 1_000.0, "graph by address": 500.0}
_STEP_MS = 5.0


def _measure(session: Session) -> Iterator[Figure]:
    colos, targets = (20, 2) if session.quick else (_COLOS, _TARGETS)
    session.say(f"compared: {colos} colos, {targets} targets")
    before = measurement(colos=colos, targets=targets, seed=1)
    after = measurement(colos=colos, targets=targets, seed=2, moved=_MOVED)
    slow = measurement(colos=colos, targets=targets, seed=3, slow=_SLOW)
    measurements = {
        "diff": partial(_once, lambda: diff.work(before, after)),
        "graph by address": partial(_once, lambda: graph.work(before)),
        "graph by AS": partial(_once, lambda: graph.work(before, by=By.ASN)),
        "shared fate": partial(_once, lambda: fate.work(slow)),
    }
    samples = alternate(measurements, runs=session.runs(7), warm=not session.quick)
    work = f"{colos} colos, {targets} targets, 15 hops with 3 replies"
    for figure in figures_of(work, samples, {}, {}):
        bound = _STEP_MS if figure.quantity == _STEP else _AT_MOST_MS.get(figure.label)
        yield figure if bound is None else figure.bounded(at_most=bound)


def _once(work: Callable[[], Work[object]]) -> Run:
    # As the coordinator does, which collects garbage when it is idle.
    gc.collect()
    gc.disable()
    try:
        steps = iter(work())
        began = last = time.process_time()
        longest = 0.0
        for _ in steps:
            now = time.process_time()
            longest, last = max(longest, now - last), now
        now = time.process_time()
        return Run({_CPU: (now - began) * 1e3, _STEP: max(longest, now - last) * 1e3})
    finally:
        gc.enable()


SUBJECT = Subject(
    "compared",
    "Two measurements compared, and one as a graph",
    f"Invented measurements of {_COLOS} colos and {_TARGETS} targets; the paths of some "
    f"{_MOVED:.0%} of the rows differ, or {_SLOW:.0%} of the colos are slow. CPU time of the "
    "computation alone, with garbage collection off as in the coordinator, without encoding. A "
    "step is what runs between two turns of the event loop.",
    _measure,
)
