"""Judging the kernel's settings, from files laid out as below /proc."""

from pathlib import Path

import pytest
from colotrace_agent.host.diagnosis import clocks, kernel
from colotrace_proto.findings import Finding, Status
from colotrace_proto.timex import ClockState

GOOD = {
    "sys/net/core/rmem_max": "16777216",
    "sys/net/core/wmem_max": "16777216",
    "sys/net/ipv4/ip_local_port_range": "32768\t60999",
    "sys/net/ipv4/ip_local_reserved_ports": "",
    "sys/net/ipv4/icmp_ratelimit": "1000",
    "sys/net/ipv4/conf/all/rp_filter": "0",
    "sys/net/ipv4/conf/default/rp_filter": "1",
    "sys/net/ipv4/conf/eth0/rp_filter": "0",
    "net/route": "Iface\tDestination\n",
    "net/tcp": "  sl  local_address\n",
}
ROUTE = "eth{}\t00000000\t0102A8C0\t0003\t0\t0\t{}\t00000000\t0\t0\t0\n"
LISTENS = "   0: 00000000:{:04X} 00000000:0000 {} 0 0\n"


def look(proc: Path, changes: dict[str, str]) -> dict[str, Finding]:
    for name, text in (GOOD | changes).items():
        file = proc / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return {each.check: each for each in kernel.findings(proc=proc)}


def test_a_good_host_has_nothing_to_do(tmp_path: Path) -> None:
    found = look(tmp_path, {})
    assert {each.status for each in found.values()} == {Status.OK}
    assert not any(each.remedy for each in found.values())


def test_what_is_not_there_is_no_fault(tmp_path: Path) -> None:
    assert {each.status for each in kernel.findings(proc=tmp_path)} == {Status.OK}


@pytest.mark.parametrize("name", ["rmem_max", "wmem_max"])
def test_debians_buffers_are_small(tmp_path: Path, name: str) -> None:
    finding = look(tmp_path, {f"sys/net/core/{name}": "212992"})[f"net.core.{name}"]
    assert finding.status is Status.WARN
    assert f"sysctl -w net.core.{name}=" in finding.remedy


@pytest.mark.parametrize(
    ("span", "reserved", "status"),
    [
        ("1024 65535", "", Status.WARN),
        ("32000 60999", "", Status.WARN),
        ("1024 65535", "20000-30000", Status.WARN),
        ("1024 65535", "8080,20000-32767", Status.OK),
        ("32768 60999", "", Status.OK),
        ("10000 19999", "", Status.OK),
    ],
)
def test_ports_that_the_kernel_gives_out(
    tmp_path: Path, span: str, reserved: str, status: Status
) -> None:
    changes = {
        "sys/net/ipv4/ip_local_port_range": span,
        "sys/net/ipv4/ip_local_reserved_ports": reserved,
    }
    assert look(tmp_path, changes)["ports that the kernel gives out"].status is status


@pytest.mark.parametrize(
    ("port", "state", "status"),
    [
        (20_000, "0A", Status.WARN),
        (32_767, "0A", Status.WARN),
        (32_768, "0A", Status.OK),
        (19_999, "0A", Status.OK),
        (25_000, "01", Status.OK),  # a connection, not a service
    ],
)
def test_services_at_the_agents_ports(
    tmp_path: Path, port: int, state: str, status: Status
) -> None:
    changes = {"net/tcp": "  sl  local_address\n" + LISTENS.format(port, state)}
    finding = look(tmp_path, changes)["services at the agent's ports"]
    assert finding.status is status
    assert (str(port) in finding.detail) == (status is Status.WARN)


@pytest.mark.parametrize(
    ("overall", "own", "routes", "status"),
    [
        ("0", "1", 2, Status.WARN),
        ("1", "0", 2, Status.WARN),
        ("0", "1", 1, Status.OK),
        ("2", "1", 2, Status.OK),
        ("1", "2", 2, Status.OK),
        ("0", "0", 2, Status.OK),
    ],
)
def test_the_reverse_path_filter(
    tmp_path: Path, overall: str, own: str, routes: int, status: Status
) -> None:
    changes = {
        "sys/net/ipv4/conf/all/rp_filter": overall,
        "sys/net/ipv4/conf/eth0/rp_filter": own,
        "net/route": "Iface\tDestination\n" + "".join(ROUTE.format(i, i) for i in range(routes)),
    }
    finding = look(tmp_path, changes)["reverse path filter"]
    assert finding.status is status
    assert ("eth0" in finding.detail) == (status is Status.WARN)


@pytest.mark.parametrize(
    ("status", "well"), [(0x2001, True), (0x0040, False), (0x0010, False), (0x0020, False)]
)
def test_the_clock(status: int, well: bool) -> None:
    finding = clocks.judge(ClockState(status, 12_000))
    assert (finding.status is Status.OK) == well
    assert bool(finding.remedy) == (not well)


@pytest.mark.parametrize(("source", "well"), [("tsc", True), ("kvm-clock", True), ("hpet", False)])
def test_the_clock_source(tmp_path: Path, source: str, well: bool) -> None:
    file = tmp_path / "devices/system/clocksource/clocksource0/current_clocksource"
    file.parent.mkdir(parents=True)
    file.write_text(f"{source}\n")
    _, finding = clocks.findings(sys=tmp_path)
    assert (finding.status is Status.OK) == well
