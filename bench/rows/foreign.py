"""CPU cost of other connections' TCP packets on a host with an agent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from statistics import median

from bench import proc
from bench.driver import Driver
from bench.figures import Figure, Run, Samples, alternate, figures_of
from bench.foreign import Host
from bench.foreign.host import NOBODY, PORTS
from bench.rows.subject import Subject
from bench.session import Session

_RATE = 50_000
_WINDOW_S = 2.5
_LEAD_S = 0.25
_TRACE_MS = 4_000
_AT_MOST = 2.0
# The resolution of /proc/stat, 10 ms, is 0.4 % of a window.
_NOTHING = 0.5
# Random variation; packets that pass the filter would cause thousands.
_WAKEUPS = 5.0
# Percent of one core without an agent; above it, other programs disturb the differences.
_TOO_BUSY = 60.0
_NONE, _IDLE = "no agent", "agent idle, the tap closed"
_TRACING, _CALM = "a TCP trace runs, the tap open", "the same trace without the traffic"
_SHARE, _AGENT, _WOKEN, _SENT = "the machine's", "the agent's own", "woken", "packets sent"
_UNITS = {_SHARE: "% of a core", _AGENT: "% of a core", _WOKEN: "/s", _SENT: "/s"}


class _Agent:
    """An agent that is started and stopped as each run needs it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._driver: Driver | None = None
        self.pid = 0

    def wanted(self) -> Driver:
        """A running agent that has completed its first trace."""
        if self._driver is None:
            self._driver = Driver.agent(self._host.spawn)
            self.pid = self._driver.call(do="pid")["pid"]
            trace(self._driver, wait_ms=50)
            self._driver.finish()
        return self._driver

    def close(self) -> None:
        """Stop the agent."""
        if self._driver is not None:
            self._driver.close()
        self._driver, self.pid = None, 0


def trace(agent: Driver, *, wait_ms: int) -> None:
    """Begin a trace whose target and path are silent."""
    agent.begin(target=NOBODY, packet_type="tcp", max_ttl=5, packets_per_ttl=1, wait_ms=wait_ms)


def _measure(session: Session) -> Iterator[Figure]:
    with Host.up() as host, closing(_Agent(host)) as agent:
        for where, port in list(PORTS.items())[-session.runs(len(PORTS)) :]:
            work = f"connections to a port {where} the span of the agent's own"
            session.say(f"foreign traffic: {work}")
            yield from _on(host, agent, port, session, work)


def _on(host: Host, agent: _Agent, port: int, session: Session, work: str) -> Iterator[Figure]:
    window_s = 0.1 if session.quick else _WINDOW_S
    run = partial(_run, host, agent, port, window_s=window_s)
    samples = alternate(
        {
            _NONE: partial(run, there=False),
            _IDLE: run,
            _TRACING: partial(run, tracing=True),
            _CALM: partial(run, tracing=True, rate=1),
        },
        runs=session.runs(5),
        warm=False,
    )
    yield from figures_of(work, samples, _UNITS, {})
    if all(taken.runs for taken in samples.values()):
        yield from _because(work, samples)


def _because(work: str, samples: dict[str, Samples]) -> Iterator[Figure]:
    """Bounded differences between runs of the same round."""
    shares = {label: taken.of(_SHARE) for label, taken in samples.items()}
    for label, to, at_most in ((_IDLE, _NONE, _NOTHING), (_TRACING, _IDLE, _AT_MOST)):
        more = tuple(one - other for one, other in zip(shares[label], shares[to], strict=True))
        what = f"more than with: {to}"
        figure = Figure(work, label, what, "% of a core", more)
        if median(shares[_NONE]) > _TOO_BUSY:
            yield figure.bounded(note="not valid: the machine was busy with other programs")
        else:
            yield figure.bounded(at_most=at_most)
    woken = tuple(
        one - other
        for one, other in zip(samples[_TRACING].of(_WOKEN), samples[_CALM].of(_WOKEN), strict=True)
    )
    yield Figure(work, _TRACING, "woken more often than without it", "/s", woken, at_most=_WAKEUPS)


def _run(
    host: Host,
    agent: _Agent,
    port: int,
    *,
    window_s: float,
    there: bool = True,
    tracing: bool = False,
    rate: int = _RATE,
) -> Run:
    driver = None
    if there:
        driver = agent.wanted()
    else:
        agent.close()
    if driver is not None and tracing:
        trace(driver, wait_ms=round(_TRACE_MS * window_s / _WINDOW_S))
    host.sender.begin(port=port, rate=rate, seconds=window_s + 2 * _LEAD_S)
    time.sleep(_LEAD_S)
    before, began = _now(agent.pid), time.monotonic()
    time.sleep(window_s)
    after, took_s = _now(agent.pid), time.monotonic() - began
    sent = host.sender.finish()
    if driver is not None and tracing:
        driver.finish()
    per_s = {name: (after[name] - before[name]) / took_s for name in after}
    return Run(per_s | {_SENT: sent["sent"] / sent["took_s"]})


def _now(pid: int) -> dict[str, float]:
    """CPU time of the machine and of the agent so far, in hundredths of a core second."""
    told = {_SHARE: proc.busy_s() * 100}
    if pid:
        told |= {_AGENT: proc.cpu_ms(pid) / 10, _WOKEN: float(proc.wakeups(pid))}
    return told


SUBJECT = Subject(
    "foreign",
    f"Foreign traffic: {_RATE:,} TCP packets a second of other connections to the agent's host",
    "Half of the packets are segments of data that the host has already received, half bare ACKs, "
    "on real connections. The machine's share is the time that /proc/stat does not count as idle. "
    "It includes the sender, the kernel and other programs, so only the difference within a round "
    "matters. Woken: voluntary context switches of all threads of the agent, some of which come "
    "from timers and the stream. Other connections cannot use the port of a trace, since a socket "
    "is bound to it. Inside the span means a service on a port that the agent could have used.",
    _measure,
)
