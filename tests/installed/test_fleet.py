"""A fleet on booted Debian hosts, through what happens to it in years: reboots, certificates that
end, a stolen host, many new hosts, a wrong clock."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest
from eventually import wait_until

from installed import debs
from installed.bases import SUITES, base
from installed.operator import Operator
from installed.roots import Root
from installed.world import SILENT, World, world

AGENT, COORDINATOR = "colotrace-agent.service", "colotrace-coordinator.service"
MANY = 50


class Hosts:
    """A coordinator `trace`, and probe hosts without an agent's identity."""

    def __init__(self, made: World, suite: str) -> None:
        self.made = made
        self._running: list[Root] = []
        self._trace = made.root("trace-installed", base(suite))
        self._trace.install(*debs.built(suite, "colotrace-coordinator", "colotrace"))
        self._probe = made.root("probe-installed", base(suite))
        self._probe.install(*debs.built(suite, "colotrace-agent"), "libfaketime")

    def trace(self, **settings: str) -> Root:
        """The coordinator's host, booted, with settings."""
        root = self.made.root("trace", self._trace.layers)
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        root.append("/etc/colotrace/coordinator.env", "".join(lines))
        return self._booted(root)

    def probe(self, name: str = "probe1") -> Root:
        """A probe host, booted."""
        return self._booted(self.made.root(name, self._probe.layers))

    def _booted(self, root: Root) -> Root:
        self._running.append(root)
        root.boot()
        return root

    def remove(self) -> None:
        """Remove the booted hosts."""
        while self._running:
            self.made.remove(self._running.pop())


@pytest.fixture(scope="module", params=SUITES)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosts]:
    """Packages, installed once for all tests of a suite."""
    with world(tmp_path_factory.mktemp(request.param)) as made:
        yield Hosts(made, request.param)


@pytest.fixture
def hosts(installed: Hosts) -> Iterator[Hosts]:
    yield installed
    installed.remove()


def errors(rows: list[dict[str, object]]) -> list[str]:
    return [str(row["error"]) for row in rows]


def test_everything_is_back_after_a_reboot_of_both_hosts(hosts: Hosts) -> None:
    operator = Operator(hosts.trace())
    probe = hosts.probe()
    operator.join(probe, "den01")
    assert errors(operator.rows("example.com", "--from", "den")) == [""]
    probe.reboot()
    operator.wait_up("den01")
    operator.trace.reboot()
    operator.wait_up("den01")
    assert errors(operator.rows("example.com", "--from", "den")) == [""]


def test_certificates_that_end_are_renewed_for_ever(hosts: Hosts) -> None:
    """In fast time: a certificate is valid for 10 seconds, and none of the traces fails."""
    lifetime_s = 10.0
    operator = Operator(hosts.trace(COLOTRACE_AGENT_CERTIFICATE_HOURS=str(lifetime_s / 3600)))
    probe = hosts.probe()
    operator.join(probe, "den01")
    began = time.monotonic()
    while time.monotonic() - began < 3 * lifetime_s:
        assert errors(operator.rows("example.com", "--from", "den")) == [""]
    assert probe.journal(AGENT).count("certificate renewed") >= 3
    assert probe.journal(AGENT).count('"attached"') == 1
    # A host that was off beyond the end of its certificate comes back by itself.
    probe.power_off()
    time.sleep(lifetime_s + 1)
    probe.boot()
    operator.wait_up("den01")


def test_revoked_host_is_cut_off_while_it_traces(hosts: Hosts) -> None:
    """Its trace ends with what there is, and the host cannot come back."""
    operator = Operator(hosts.trace())
    probe = hosts.probe()
    operator.join(probe, "den01")
    # The router drops what goes to this address, so that the trace goes on for its whole time.
    running = operator.start_trace(SILENT, "--from", "den", "--json", "--wait-time", "5")
    wait_until(lambda: operator.jobs() > 0, within_s=20)
    operator.trace.run("colotrace-coordinator", "agent", "revoke", "den01/probe1.den01")
    revoked = time.monotonic()
    wait_until(lambda: operator.up() == {}, within_s=10)
    assert time.monotonic() - revoked < 5
    out, _ = running.communicate(timeout=30)
    (row,) = json.loads(out)["result"][0]["colos"]
    assert row["error"]
    wait_until(lambda: "revoked" in probe.journal(AGENT), within_s=20)
    probe.run("systemctl", "restart", AGENT, check=False)
    time.sleep(3)
    assert operator.up() == {}


def test_fifty_agents_are_enrolled_by_one_loop(
    hosts: Hosts, capsys: pytest.CaptureFixture[str]
) -> None:
    """On one host, each with a state directory of its own, since this machine is one."""
    operator = Operator(hosts.trace())
    probe = hosts.probe()
    token = operator.enroll("den01", "--uses", str(MANY), "--expires", "1h")
    loop = (
        f'for number in $(seq {MANY}); do colotrace-agent join "$1" --only'
        " --agent-id probe$number.den01 --state-dir /var/lib/many/$number || exit; done"
    )
    began = time.monotonic()
    probe.run("sh", "-c", f"mkdir -p /var/lib/many; {loop}", "sh", token, timeout=300)
    took = time.monotonic() - began
    assert len(operator.agents()) == MANY
    with capsys.disabled():
        print(f"\n{MANY} agents enrolled in {took:.0f} s")


def test_wrong_clock_is_said(hosts: Hosts) -> None:
    """A probe host an hour ahead attaches, and says by how much its clock is off."""
    operator = Operator(hosts.trace())
    probe = hosts.probe()
    library = probe.run("sh", "-c", "ls /usr/lib/*/faketime/libfaketime.so.1").strip()
    probe.write(
        "/etc/systemd/system/colotrace-agent.service.d/clock.conf",
        f"[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME=+1h\n",
    )
    probe.run("systemctl", "daemon-reload")
    joined = probe.completed(
        "env", f"LD_PRELOAD={library}", "FAKETIME=+1h",
        "colotrace-agent", "join", operator.enroll("den01"),
    )  # fmt: skip
    assert joined.returncode == 0, joined.stderr
    assert re.search(r"clock is 3[56]\d\d s ahead", joined.stderr), joined.stderr
    operator.wait_up("den01")
    assert errors(operator.rows("example.com", "--from", "den")) == [""]
