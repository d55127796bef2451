"""Every case traced over a TUN device by the agent's real sockets.

What the clock must show to the microsecond is left to virtual time: a busy host holds up either
side. Paths, addresses, labels, counts and errors are held to the same expectation.
"""

import itertools
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from needs import need

from scenario.addresses import assign
from scenario.device import unsupported
from scenario.expectation import expected
from scenario.kinds import Balance, ProbeType, Protocol
from scenario.known import known_fault, traceable
from scenario.load import CASES, Run, cases, load
from scenario.paths import expected_paths
from scenario.schema import Case, Family
from scenario.tun import Report, TunWorld, tun_missing

pytestmark = pytest.mark.tun

# What comes within wait_time is what the path is made of, however late a busy host is.
SLACK_MS = 900
# What becomes of probes that are right; the kernel's own messages are not for the target.
FATES = {"answered", "silent", "lost", "limited", "reset", "unrelated"}


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    need(tun_missing())


@dataclass(frozen=True, slots=True)
class Shared:
    """One case traced in several families with several packet types behind one device."""

    case: Case
    families: tuple[Family, ...]
    packet_types: tuple[ProbeType, ...]

    def __str__(self) -> str:
        families = "".join(f"v{family}" for family in self.families)
        return f"{self.case.name}-{families}-{'-'.join(self.packet_types)}"


def shared_runs() -> list[Shared]:
    """All runs, those together that do not count each other's packets."""
    runs = []
    for case in cases():
        types = tuple(each for each in case.trace.packet_types if traceable(each))
        if not types or unsupported(case) is not None:
            continue
        limits = [node.limit for node in (*case.hops, case.target)]
        turns = [failure.ordinal for failure in case.send_failures]
        alone = any(each is not None for each in (*limits, *turns)) or _by_packet(case)
        groups = [(packet_type,) for packet_type in types] if alone else [types]
        runs += [Shared(case, case.families, group) for group in groups]
    return runs


def cases_of(run: Shared) -> list[Any]:
    """The run as parameters: whole, or what is known to fail in it apart from the rest."""
    each = [Run(run.case, family, kind) for family in run.families for kind in run.packet_types]
    known = [(one, fault) for one in each if (fault := known_fault(one)) is not None]
    if not known:
        return [pytest.param(run, id=str(run))]
    sound = [one for one in each if known_fault(one) is None]
    return [
        *(_param(one) for one in sound),
        *(_param(one, pytest.mark.xfail(strict=True, reason=fault)) for one, fault in known),
    ]


def _param(run: Run, *marks: pytest.MarkDecorator) -> Any:
    shared = Shared(run.case, (run.family,), (run.packet_type,))
    return pytest.param(shared, marks=marks, id=str(shared))


def _by_packet(case: Case) -> bool:
    return any(hop.width > 1 and hop.balance is Balance.PACKET for hop in case.hops)


@pytest.mark.parametrize("run", [param for run in shared_runs() for param in cases_of(run)])
def test_agent_traces_the_case_over_sockets(run: Shared) -> None:
    """Its jobs, sockets and decoders give the row that the case expects."""
    with TunWorld(run.case, *run.families) as world:
        code, out, words = world.probe(run.families, run.packet_types)
    assert (code, words) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    traces = list(itertools.product(run.families, run.packet_types)) * run.case.trace.times
    assert [(line["family"], line["packet_type"]) for line in lines] == traces
    if run.case.trace.multipath:
        assert _paths_faults(run, lines, world.report) == []
        return
    wanted = {family: expected(run.case, family=family) for family in run.families}
    faults = [
        f"v{line['family']} {line['packet_type']}: {fault}"
        for line in lines
        for fault in wanted[line["family"]].faults(line["row"], slack_ms=SLACK_MS)
    ]
    faults += _counter_faults(run, lines)
    faults += _wire_faults(world.report, times=run.case.trace.times)
    for family, protocol in itertools.product(run.families, Protocol):
        probes = _seen(world.report, family, protocol)
        last = [probe["ttl"] for probe in probes if probe["flow"] == probes[-1]["flow"]]
        faults += wanted[family].beyond_faults(last) if last else []
    assert faults == []


def _paths_faults(run: Shared, lines: list[dict[str, Any]], report: Report) -> list[str]:
    """What is wrong about paths whose flows nobody chose: some may have missed a branch."""
    wanted = {family: expected_paths(run.case, family=family) for family in run.families}
    faults = [
        f"v{line['family']} {line['packet_type']}: {fault}"
        for line in lines
        for fault in wanted[line["family"]].faults_of_chance(line["row"], slack_ms=SLACK_MS)
    ]
    return faults + [f"{n} packets {fate}" for fate, n in report.fates.items() if fate not in FATES]


def _seen(report: Report, family: int, protocol: Protocol) -> list[dict[str, Any]]:
    return [
        probe
        for probe in report.seen
        if (probe["family"], probe["protocol"]) == (str(family), protocol)
    ]


def _counter_faults(run: Shared, lines: list[dict[str, Any]]) -> list[str]:
    """Counters that are known when a trace ends; most foreign packets belong to no trace."""
    spans = expected(run.case, family=run.families[0]).counters
    faults = []
    if "duplicate" in spans:
        least, most = spans["duplicate"]
        counts = [line["counted"]["duplicate"] for line in lines]
        faults += [f"{n} duplicates" for n in counts if not least <= n <= most]
    for name in spans.keys() & {"foreign", "ambiguous"}:
        traced = len(run.families) * len(run.packet_types)
        least, most = (bound * traced for bound in spans[name])
        ambiguous = sum(line["counted"]["ambiguous"] for line in lines)
        count = lines[-1]["foreign"] if name == "foreign" else ambiguous
        if not least <= count <= most:
            faults.append(f"{count} {name} packets, expected {least} to {most}")
    return faults


def _wire_faults(report: Report, *, times: int = 1) -> list[str]:
    """Whatever the network saw that a tracer should not send."""
    faults = [f"{n} packets {fate}" for fate, n in report.fates.items() if fate not in FATES]
    for family, protocol in itertools.product((4, 6), Protocol):
        flows = {probe["flow"] for probe in _seen(report, family, protocol)}
        if len(flows) > times:
            faults.append(f"{len(flows)} {protocol} flows in {times} traces")
    return faults


@pytest.mark.parametrize(
    ("name", "packet_type"),
    [
        (name, packet_type)
        for name in ("plain", "gre_icmp", "send_failure_all")
        for packet_type in load(CASES / f"{name}.toml").trace.packet_types
    ],
)
@pytest.mark.parametrize("family", [4, 6])
def test_command_traces_the_case(name: str, family: Family, packet_type: ProbeType) -> None:
    """The whole program: its options, privileges, output and exit code."""
    case = load(CASES / f"{name}.toml")
    target = assign(case, family=family).target
    program = [sys.executable, "-c", "from colotrace_agent.main import main; main()", "trace"]
    options = ["--json", "--no-names", "--allow-private", "--packet-type", packet_type]
    with TunWorld(case, family) as world:
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
