"""Many targets in one run: CPU for each trace, probes a second and memory, on one core."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from statistics import median
from typing import Any

from bench.driver import Driver
from bench.figures import BenchError, Figure, Measurement, Run, alternate, figures_of
from bench.peers import MAX_TTL
from bench.places import AT_ONCE
from bench.responder import Responder
from bench.rows.bulk_tools import ALL, COLOTRACE, Tool
from bench.rows.subject import Subject
from bench.rows.targets import listed
from bench.session import Session

# The run with one target measures the start of the process.
_COMPARED = 10_000
_SIZES = (1, 100, 1_000, _COMPARED, 100_000)
_QUICK = (5,)
_PROBES_A_SECOND = 120_000
_OF_SCAMPER = 0.5
_CPU, _RATE, _MEMORY = "CPU a trace", "probes a second", "peak memory"
_FURTHER = "CPU a further trace, beyond one"
_IDLE_NOTE = "always listens for 1 s after its last probe"
_WALL, _OVERFLOWS = "wall", "overflows"
_UNITS = {_CPU: "ms", _FURTHER: "ms", _RATE: "/s", _MEMORY: "MB", _WALL: "s", _OVERFLOWS: ""}
# Above this share, a core is the limit.
_BUSY = 0.9


def _measure(session: Session) -> Iterator[Figure]:
    starts: dict[str, float] = {}
    for size in _QUICK if session.quick else _SIZES:
        session.say(f"bulk: targets: {size:,}")
        tools = [tool for tool in ALL if tool.most >= size]
        measurements: dict[str, Measurement] = {
            tool.label: partial(_run, session, tool, size=size) for tool in tools
        }
        slow = {tool.label: 1 for tool in tools if size > 1 and _slow(tool, size)}
        peers = {tool.label for tool in tools if tool.peer}
        samples = alternate(
            measurements, runs=session.runs(3), seldom=slow, may_fail=peers, warm=False
        )
        for label, taken in samples.items():
            for run in taken.runs:
                if label in starts:
                    more_ms = run.values[_CPU] * size - starts[label]
                    run.values[_FURTHER] = more_ms / (size - 1)
        if size == 1:
            starts = {label: median(each.of(_CPU)) for label, each in samples.items() if each.runs}
        work = f"{size:,} targets" if size > 1 else "1 target: the start of the process"
        notes = {tool.label: _IDLE_NOTE for tool in tools if tool.idle_s}
        found = figures_of(work, samples, _UNITS, notes)
        yield from (_bounded(figure, found) if size == _COMPARED else figure for figure in found)


def _slow(tool: Tool, size: int) -> bool:
    return tool.once if size == _COMPARED else tool.most == size


def _run(session: Session, tool: Tool, *, size: int) -> Run:
    if tool.peer is not None and tool.peer.missing:
        raise BenchError(tool.peer.missing)
    records = size * MAX_TTL * 2
    with session.fast(AT_ONCE, records=records) as responder, listed(size) as targets:
        with closing(Driver.plain(responder.spawn)) as driver:
            out = targets.with_name("out")
            core = str(min(os.sched_getaffinity(0)))
            argv = ["taskset", "-c", core, *tool.command(targets, out)]
            done = driver.run(argv, out=str(out))
        answered = tool.answered(out)
        return _judged(tool, done, responder, answered=answered, size=size)


def _judged(
    tool: Tool, done: dict[str, Any], responder: Responder, *, answered: int, size: int
) -> Run:
    read = responder.records()["read_mono"]
    tally, dropped = responder.tally(), responder.dropped()
    lasted_s = (read[-1] - read[0]) / 1e9 if len(read) > 1 else 0.0
    values = {_CPU: done["cpu_ms"] / size}
    if lasted_s:
        values[_RATE] = (len(read) - 1) / lasted_s
    if not tool.several and done["peak_mb"] > 1:  # else it ended before it was sampled
        values[_MEMORY] = done["peak_mb"]
    values |= {_WALL: done["wall_ms"] / 1e3, _OVERFLOWS: float(done["overflows"])}
    limit = tool.limit
    lost = dropped + tally.unwritten + tally.crowded_out
    if lost:
        limit = f"the responder, which lost {lost}"
    elif lasted_s and tally.busy_s / lasted_s > _BUSY:
        limit = "the responder's core"
    elif not limit:
        took_ms = max(done["wall_ms"] - tool.idle_s * 1e3, 1)
        share, kept = done["cpu_ms"] / took_ms, done["kept_ms"] / took_ms
        if share + kept > _BUSY:
            limit = f"its core, {share:.0%} its own"
        else:
            limit = f"waiting: {share:.0%} of its core"
    whole = tally.written if answered < 0 else answered
    return Run(values, complete=whole == size * MAX_TTL, limit=limit)


def _bounded(figure: Figure, found: list[Figure]) -> Figure:
    if figure.label != COLOTRACE.label or not figure.samples:
        return figure
    if figure.quantity == _RATE:
        return figure.bounded(at_least=_PROBES_A_SECOND)
    if figure.quantity not in (_CPU, _FURTHER):
        return figure
    others = [each for each in found if each.quantity == figure.quantity and each.samples]
    scamper = [each.median for each in others if each.label.startswith("scamper")]
    pycaracal = [each.median for each in others if each.label == "pycaracal"]
    most = [*([_OF_SCAMPER * min(scamper)] if scamper else []), *pycaracal]
    if not most:
        return figure
    return figure.bounded(at_most=min(most), note="half of scamper's, and pycaracal's")


SUBJECT = Subject(
    "bulk",
    f"Many targets at once: ICMP, {MAX_TTL} hops, 1 probe a hop",
    "Each tool is one process on one core, timed from start to exit, with its output in a file. "
    "The responder has the other core and answers at once, more than 500,000 probes a second. "
    "Targets are random and new in each run. Probes a second are counted between the first and the "
    "last that the responder read. Peak memory is VmHWM. Overflows: drops by raw sockets.",
    _measure,
    tuple(dict.fromkeys(tool.peer for tool in ALL if tool.peer)),
    plotted=(_CPU, _RATE, _MEMORY),
)
