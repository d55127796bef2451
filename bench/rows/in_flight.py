"""Memory with 10,000 traces in flight at once, with silent targets for 5 s."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import proc
from bench.driver import Driver
from bench.figures import Figure, Run, Samples, figures_of
from bench.responder import Network, Responder
from bench.rows.bulk_tools import AT_WILL, colotrace
from bench.rows.subject import Subject
from bench.rows.targets import draw, listed
from bench.session import Session

_TRACES = 10_000
_MAX_TTL = 5
_NETWORK = Network(distance=_MAX_TTL - 1, silent_target=True)
_WAIT_S = 5
# For a running agent: answers come this late, so that it has accepted all jobs before, and all
# traces hold answers when the first one ends. More than three answers each would exceed the
# responder's queue.
_LATE = 0.8
_MUTE = 4
_MOST_MB = 140.0
# Time for sending and one round of waiting; a tool with fewer traces in flight is terminated.
_MOST_S = 12.0
_RUN, _TRACE = "colotrace-agent run", "colotrace-agent trace --targets-file"
_PEAK, _AT_ONCE = "peak memory", "in flight at most"
_UNITS = {_PEAK: "MB", _AT_ONCE: "traces"}


def _measure(session: Session) -> Iterator[Figure]:
    count, wait_s = (50, 0.3) if session.quick else (_TRACES, _WAIT_S)
    work = f"{_TRACES:,} targets that are silent for {_WAIT_S} s"
    samples = {_TRACE: Samples(), _RUN: Samples()}
    for label, once in ((_TRACE, partial(_trace, session)), (_RUN, _run)):
        session.say(f"in flight: {label}")
        for _ in range(session.runs(2)):
            samples[label].runs.append(once(count, wait_s))
    for figure in figures_of(work, samples, _UNITS, {}):
        most = figure.quantity == _PEAK
        yield figure.bounded(at_most=_MOST_MB) if most else figure.bounded(at_least=count)


def _trace(session: Session, count: int, wait_s: float) -> Run:
    flags = ("--max-ttl", str(_MAX_TTL), "--wait-time", str(wait_s), "--rate", AT_WILL)
    records = count * _MAX_TTL * 2
    with session.fast(_NETWORK, records=records) as network, listed(count) as targets:
        with closing(Driver.plain(network.spawn)) as driver:
            argv = [str(targets) if word == "{targets}" else word for word in colotrace(*flags)]
            done = driver.run(argv, out=str(targets.with_name("out")), most_s=_MOST_S)
        at_once = _most_within(network.records(), wait_s)
    return _told(done["peak_mb"], at_once, count)


def _run(count: int, wait_s: float) -> Run:
    late = replace(_NETWORK, delay_ns=int(_LATE * wait_s * 1e9), silent=frozenset({_MUTE}))
    # The agent and the coordinator each have a core; the responder needs little CPU here.
    with Responder(late) as network:
        flags = ("--max-jobs", str(_TRACES), "--rate", AT_WILL)
        with closing(Driver.agent(network.spawn, *flags)) as agent:
            got = agent.call(
                targets=draw(count),
                packet_type="icmp",
                max_ttl=_MAX_TTL,
                packets_per_ttl=1,
                wait_ms=round(wait_s * 1_000),
            )
            peak_mb = proc.peak_mb(agent.call(do="pid")["pid"])
    run = _told(peak_mb, got["most_running"], count)
    run.complete = got["replies"] == count * (_MAX_TTL - 2)
    return run


def _told(peak_mb: float, at_once: int, count: int) -> Run:
    limit = "" if at_once >= count else f"no more than {at_once:,} are in flight at once"
    return Run({_PEAK: peak_mb, _AT_ONCE: float(at_once)}, limit=limit)


def _most_within(records: npt.NDArray[Any], wait_s: float) -> int:
    """The most targets whose first probe was read within one wait, during which they are in
    flight."""
    # The destination is at byte 16 of an IPv4 header.
    targets = np.ascontiguousarray(records["packet"][:, 16:20]).view(">u4")[:, 0]
    _, first = np.unique(targets, return_index=True)
    begun = np.sort(records["read_mono"][first])
    if not len(begun):
        return 0
    before = np.searchsorted(begun, begun - int(wait_s * 1e9), side="right")
    return int((np.arange(1, len(begun) + 1) - before).max())


SUBJECT = Subject(
    "in-flight",
    f"Memory with {_TRACES:,} traces in flight",
    f"{_MAX_TTL - 1} routers and a silent target, 1 probe a hop, wait {_WAIT_S} s. For `trace` all "
    f"routers answer at once. For `run` three answer, {_LATE * _WAIT_S:g} s late, so that the "
    "agent has accepted all jobs before one ends. In flight at most: for `trace`, targets whose "
    "first probes the responder read within one wait; for `run`, jobs accepted and not ended, as "
    "the coordinator sees them. Peak memory is VmHWM of the whole process, with all traces, their "
    "answers, and unacknowledged frames.",
    _measure,
    plotted=(_PEAK,),
)
