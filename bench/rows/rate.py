"""CPU of an agent that sends 20,000 probes a second."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from bench import proc
from bench.figures import BenchError, Figure, Samples, figures_of
from bench.figures import Run as OneRun
from bench.places import AT_ONCE
from bench.rows.bulk_tools import colotrace
from bench.rows.subject import Subject
from bench.rows.targets import listed
from bench.session import Session

_RATE = 20_000
_MAX_TTL = 15
_SETTLED_S = 1.0
_WINDOW_S = 5.0
_AT_MOST = 25.0
_START_S = 20.0
_SHARE, _SENT, _EACH = "of one core", "probes a second", "CPU a probe"


def _measure(session: Session) -> Iterator[Figure]:
    session.say(f"rate: {_RATE:,} probes a second")
    samples = Samples()
    for _ in range(session.runs(3)):
        samples.runs.append(_run(session, 0.2 if session.quick else _WINDOW_S))
    units = {_SHARE: "%", _SENT: "/s", _EACH: "µs"}
    found = figures_of(f"--rate {_RATE}", {"colotrace-agent trace": samples}, units, {})
    for figure in found:
        yield figure.bounded(at_most=_AT_MOST) if figure.quantity == _SHARE else figure


def _run(session: Session, window_s: float) -> OneRun:
    count = round(_RATE * (_SETTLED_S + window_s + 1) / _MAX_TTL)
    with session.fast(AT_ONCE) as network, listed(count) as targets:
        flags = ("--max-ttl", str(_MAX_TTL), "--rate", str(_RATE))
        argv = [str(targets) if word == "{targets}" else word for word in colotrace(*flags)]
        with targets.with_name("out").open("wb") as out:
            process = network.spawn(argv, stdout=out, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while not network.count:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError("the agent sends nothing")
            time.sleep(0.02)
        time.sleep(_SETTLED_S)
        cpu, sent, began = proc.cpu_ms(process.pid), network.count, time.monotonic()
        time.sleep(window_s)
        if process.poll() is not None:
            raise BenchError("the agent ended before the measurement")
        cpu, sent = proc.cpu_ms(process.pid) - cpu, network.count - sent
        took_s = time.monotonic() - began
    share = cpu / took_s / 10
    rate = sent / took_s
    limit = "the budget" if rate > 0.95 * _RATE else f"its core, {share:.0f} % busy"
    return OneRun(
        {_SHARE: share, _SENT: rate, _EACH: cpu * 1e3 / max(sent, 1)},
        complete=True,
        limit=limit,
    )


SUBJECT = Subject(
    "rate",
    "An agent that sends 20,000 probes a second",
    f"`colotrace-agent trace` for a file of random targets, with rows as NDJSON in a file. Its CPU "
    f"time is measured for {_WINDOW_S:g} s, from {_SETTLED_S:g} s after its first probe. The "
    "responder, on the other core, counts the probes.",
    _measure,
)
