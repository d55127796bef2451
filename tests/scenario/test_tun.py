"""The world behind a TUN device, traced by Debian's traceroute over real sockets."""

import re
import shutil
from pathlib import Path

import pytest
from lab import namespaces
from needs import need

from scenario.addresses import assign
from scenario.expectation import expected
from scenario.kinds import Protocol
from scenario.load import CASES, load
from scenario.schema import Case, Family
from scenario.tun import TunWorld, TunWorldError, tun_missing

pytestmark = pytest.mark.tun
# A busy host may hold up either side; what must be exact is virtual time's to show.
SLACK_MS = 200
WAIT_S = "4"
"""Longer than a busy host may hold up either side; a silent hop takes as long."""
FLAGS = {Protocol.ICMP: ["-I"], Protocol.UDP: ["-U"], Protocol.TCP: ["-T"]}
_REPLY = re.compile(r"(?:(?P<address>[0-9a-f.:]+) +)?(?P<rtt>[0-9.]+) ms(?: (?P<label>!\S+))?")


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    need(tun_missing())
    need(None if shutil.which("traceroute") else "traceroute is not installed")


def traced(case: Case, *, family: Family, protocol: Protocol) -> tuple[str, TunWorld]:
    """Return what traceroute says about the case's target, and the world it was in."""
    target = assign(case, family=family).target
    argv = ["traceroute", "-n", "-w", WAIT_S, "-m", "8", *FLAGS[protocol], target]
    with TunWorld(case, family) as world:
        done = world.run(argv)
    assert done.returncode == 0, done.stderr
    return done.stdout, world


@pytest.mark.parametrize("protocol", list(FLAGS))
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", ["plain", "silent_hop", "host_unreachable"])
def test_traceroute_sees_what_the_case_expects(
    name: str, family: Family, protocol: Protocol
) -> None:
    """The path, labels and RTTs that colotrace is tested for."""
    case = load(CASES / f"{name}.toml")
    out, world = traced(case, family=family, protocol=protocol)
    lines = out.splitlines()[1:]
    hops = expected(case, family=family).hops
    lines = [line for line in lines if line.strip()]
    assert len(lines) == len(hops), out
    for line, hop in zip(lines, hops, strict=True):
        replies = list(_REPLY.finditer(line.split(maxsplit=1)[1]))
        assert len(replies) == 3 * len(hop.nodes), f"{out}{world.report}"
        for node in hop.nodes:
            assert replies[0]["address"] in node.addresses
            assert all((reply["label"],) == (node.labels or (None,)) for reply in replies)
            for reply in replies:
                assert node.rtt_ms[0] <= float(reply["rtt"]) < node.rtt_ms[1] + SLACK_MS
    # The kernel's listener and neighbour messages are not for the target, and nothing was broken.
    assert set(world.report.fates) <= {"answered", "silent", "reset", "unrelated"}
    assert {probe["protocol"] for probe in world.report.seen} == {str(protocol)}


@pytest.mark.parametrize("family", [4, 6])
def test_kernel_resets_half_open_connections(family: Family) -> None:
    """In the world as outside."""
    case = load(CASES / "tcp_open.toml")
    target = assign(case, family=family).target
    with TunWorld(case, family) as world:
        done = world.run(["traceroute", "-n", "-T", "-p", "443", "-w", WAIT_S, target])
    assert target in done.stdout.splitlines()[-1]
    assert world.report.fates["reset"] > 0


@pytest.mark.parametrize("family", [4, 6])
def test_refused_send_is_refused_by_the_kernel(family: Family) -> None:
    """EPERM from a firewall in the prober's host."""
    case = load(CASES / "send_failure.toml")
    target = assign(case, family=family).target
    with TunWorld(case, family) as world:
        done = world.run(["traceroute", "-n", "-I", "-f", "2", "-w", "1", target])
    assert "Operation not permitted" in done.stderr
    assert not any(probe["ttl"] == 2 for probe in world.report.seen)


def test_world_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The exception has the reason of the serving process."""
    case = load(CASES / "plain.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("hops = 3", encoding="utf-8")
    with pytest.raises(TunWorldError, match="broken"), TunWorld(case, 4, path=broken):
        pass


def test_world_leaves_no_namespace() -> None:
    """It belongs to the serving process, which ends."""
    case = load(CASES / "plain.toml")
    with TunWorld(case, 4) as world:
        inside = world.run(["readlink", "/proc/self/ns/net"]).stdout.strip()
        assert inside != str(Path("/proc/self/ns/net").readlink())
        assert "world0" in world.run(["ip", "-br", "link"]).stdout
    assert inside not in namespaces.in_use()
