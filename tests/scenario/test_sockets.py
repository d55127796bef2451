"""Every case traced over a TUN device by the agent's real sockets.

What the clock must show to the microsecond is left to virtual time: a busy host holds up either
side. Paths, addresses, labels, counts and errors are held to the same expectation.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from scenario.addresses import assign
from scenario.device import unsupported
from scenario.expectation import expected
from scenario.kinds import Balance, ProbeType, Protocol
from scenario.known import known_fault, traceable
from scenario.load import CASES, Run, cases, load
from scenario.schema import Case, Family
from scenario.tun import Report, TunWorld, tun_missing

pytestmark = pytest.mark.tun

# What comes within wait_time is what the path is made of, however late a busy host is.
SLACK_MS = 900
# What becomes of probes that are right; the kernel's own messages are not for the target.
FATES = {"answered", "silent", "lost", "limited", "reset", "unrelated"}


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    """Skip, with the reason, where this user can have no device."""
    reason = tun_missing()
    if reason is not None:
        pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Shared:
    """One case in one family, traced with several packet types behind one device."""

    case: Case
    family: Family
    packet_types: tuple[ProbeType, ...]

    def __str__(self) -> str:
        return f"{self.case.name}-v{self.family}-{'-'.join(self.packet_types)}"

    @property
    def known_fault(self) -> str | None:
        """Why it is known to fail."""
        runs = (Run(self.case, self.family, each) for each in self.packet_types)
        return next((fault for fault in map(known_fault, runs) if fault is not None), None)


def shared_runs() -> list[Shared]:
    """All runs, those together that do not count each other's packets."""
    runs = []
    for case in cases():
        if unsupported(case) is not None:
            continue
        limits = [node.limit for node in (*case.hops, case.target)]
        turns = [failure.ordinal for failure in case.send_failures]
        alone = any(each is not None for each in (*limits, *turns)) or _by_packet(case)
        types = tuple(each for each in case.trace.packet_types if traceable(each))
        if not types:
            continue
        groups = [(packet_type,) for packet_type in types] if alone else [types]
        runs += [Shared(case, family, group) for family in case.families for group in groups]
    return runs


def run_of(run: Shared) -> Any:
    """The run as a parameter, with what is known to fail in it."""
    known = run.known_fault
    marks = [pytest.mark.xfail(strict=True, reason=known)] if known else []
    return pytest.param(run, marks=marks, id=str(run))


def _by_packet(case: Case) -> bool:
    return any(hop.width > 1 and hop.balance is Balance.PACKET for hop in case.hops)


@pytest.mark.parametrize("run", [run_of(run) for run in shared_runs()])
def test_real_sockets_trace_the_case(run: Shared) -> None:
    """The agent's jobs, sockets and decoders give the row that the case expects."""
    path = str(CASES / f"{run.case.name}.toml")
    argv = [sys.executable, "-m", "scenario.probe_host", path, str(run.family), *run.packet_types]
    with TunWorld(run.case, family=run.family) as world:
        done = world.run(argv)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["packet_type"] for line in lines] == [*run.packet_types] * run.case.trace.times
    wanted = expected(run.case, family=run.family)
    faults = [
        f"{line['packet_type']}: {fault}"
        for line in lines
        for fault in wanted.faults(line["row"], slack_ms=SLACK_MS)
    ]
    faults += _counter_faults(run, lines) + _wire_faults(world.report, times=run.case.trace.times)
    for protocol in Protocol:
        probes = [probe for probe in world.report.seen if probe["protocol"] == protocol]
        last = [probe["ttl"] for probe in probes if probe["flow"] == probes[-1]["flow"]]
        faults += wanted.beyond_faults(last)
    assert faults == []


def _counter_faults(run: Shared, lines: list[dict[str, Any]]) -> list[str]:
    """Counters that are known when a trace ends; foreign packets belong to no trace."""
    wanted = run.case.expect.counters
    faults = []
    if "duplicate" in wanted:
        spans = expected(run.case, family=run.family).counters["duplicate"]
        counts = [line["counted"]["duplicate"] for line in lines]
        faults += [f"{n} duplicates" for n in counts if not spans[0] <= n <= spans[1]]
    spans = expected(run.case, family=run.family).counters
    for name in wanted.keys() & {"foreign", "ambiguous"}:
        least, most = (bound * len(run.packet_types) for bound in spans[name])
        count = sum(line["counted"][name] for line in lines)
        count += lines[-1]["foreign"] if name == "foreign" else 0
        if not least <= count <= most:
            faults.append(f"{count} {name} packets, expected {least} to {most}")
    return faults


def _wire_faults(report: Report, *, times: int = 1) -> list[str]:
    """Whatever the network saw that a tracer should not send."""
    faults = [f"{n} packets {fate}" for fate, n in report.fates.items() if fate not in FATES]
    for protocol in Protocol:
        flows = {probe["flow"] for probe in report.seen if probe["protocol"] == protocol}
        if len(flows) > times:
            faults.append(f"{len(flows)} {protocol} flows in {times} traces")
    return faults


@pytest.mark.parametrize("packet_type", [each for each in ProbeType if traceable(each)])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", ["plain", "send_failure_all"])
def test_the_command_traces_the_case(name: str, family: Family, packet_type: ProbeType) -> None:
    """The whole program: its options, its privileges, its output and its exit status."""
    case = load(CASES / f"{name}.toml")
    target = assign(case, family=family).target
    program = [sys.executable, "-c", "from colotrace_agent.main import main; main()", "trace"]
    options = ["--json", "--no-names", "--allow-private", "--packet-type", packet_type]
    with TunWorld(case, family=family) as world:
        done = world.run([*program, *options, target])
    (line,) = done.stdout.splitlines()
    answer = json.loads(line)
    assert answer["target"] == target
    (row,) = answer["colos"]
    wanted = expected(case, family=family)
    assert wanted.faults(row, slack_ms=SLACK_MS) == []
    assert done.returncode == (1 if wanted.error_code else 0)
    assert ("Operation not permitted" in done.stderr) == (wanted.error_code == 4)
    assert _wire_faults(world.report) == []
