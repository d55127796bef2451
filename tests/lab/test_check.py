"""`colotrace-agent check`, as installed, on hosts with various faults."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fleet import alone

from lab import Lab
from lab.uplinks import add_second, default, ip

pytestmark = pytest.mark.lab

PROBE_HOSTS = Path(__file__).parents[2] / "docs" / "probe-hosts.md"
_CONNTRACK = Path("/proc/sys/net/netfilter/nf_conntrack_max")


def check(lab: Lab, *before: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run `check`; returns the exit status and the findings by name."""
    done = (lab.run if before else lab.run_forked)(
        "den01", [*before, alone.COMMAND, "check", "--json"]
    )
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["ok"] == (done.returncode == 0)
    return done.returncode, {each["check"]: each for each in said["findings"]}


def load(lab: Lab, rules: str) -> None:
    argv = lab.command("den01", ["nft", "-f", "-"])
    subprocess.run(argv, input=rules, text=True, check=True, env=lab.environment())


def test_a_host_of_the_lab_can_trace(lab: Lab) -> None:
    """Both families are OK, with the source addresses of the routes."""
    status, found = check(lab)
    assert status == 0
    for name in ("rights", "raw sockets", "IPv4", "IPv6", "rules that drop answers"):
        assert found[name]["status"] == "OK", found[name]
    assert lab.address("den01") in found["IPv4"]["detail"]
    assert lab.address("den01", family=6) in found["IPv6"]["detail"]


def test_each_remedy_follows_its_finding(lab: Lab) -> None:
    lines = lab.run_forked("den01", [alone.COMMAND, "check"]).stdout.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith(" "):
            status = line.split()[0]
            assert status in ("OK", "WARN", "FAIL")
            assert (status != "OK") == after.startswith("      → "), line


def test_without_net_raw_it_fails_and_checks_the_rest(lab: Lab) -> None:
    """The other checks still run, but the firewall rules cannot be read."""
    without = "-net_raw,-net_admin"
    status, found = check(
        lab, "setpriv", f"--bounding-set={without}", f"--inh-caps={without}", "--"
    )
    assert status == 1
    assert found["rights"]["status"] == found["raw sockets"]["status"] == "FAIL"
    assert found["IPv4"]["status"] == "OK"
    assert "could not look" in found["rules that drop answers"]["detail"]


def test_one_missing_family_warns_and_two_fail(own_lab: Lab) -> None:
    """First without an IPv6 default route, then without any."""
    ip(own_lab, "den01", "route del ::/0")
    status, found = check(own_lab)
    assert (status, found["IPv6"]["status"], found["IPv4"]["status"]) == (0, "WARN", "OK")
    assert "no default route" in found["IPv6"]["detail"]
    ip(own_lab, "den01", "route del 0.0.0.0/0")
    status, found = check(own_lab)
    assert (status, found["IPv6"]["status"], found["IPv4"]["status"]) == (1, "FAIL", "FAIL")


def test_strict_reverse_path_filter_with_two_default_routes_warns(own_lab: Lab) -> None:
    add_second(own_lab)
    ip(own_lab, "den01", f"route add {default(family=4, more='metric 2000')}")
    strict = "echo 1 > /proc/sys/net/ipv4/conf/up2/rp_filter"
    assert own_lab.run("den01", ["sh", "-c", strict]).returncode == 0
    finding = check(own_lab)[1]["reverse path filter"]
    assert finding["status"] == "WARN"
    assert "strict on up2 with 2 default routes" in finding["detail"]


def test_overlapping_local_port_range_warns(own_lab: Lab) -> None:
    """A wide range of local ports warns; after the remedy, which reserves the agent's ports, it is
    OK."""
    wide = "echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range"
    assert own_lab.run("den01", ["sh", "-c", wide]).returncode == 0
    finding = check(own_lab)[1]["ports that the kernel gives out"]
    assert finding["status"] == "WARN"
    # The remedy is a command that works.
    key, _, value = finding["remedy"].removeprefix("sysctl -w ").partition("=")
    keep = f"echo {value} > /proc/sys/{key.replace('.', '/')}"
    assert own_lab.run("den01", ["sh", "-c", keep]).returncode == 0
    assert check(own_lab)[1]["ports that the kernel gives out"]["status"] == "OK"


STATEFUL = """
table inet host {
  chain in {
    type filter hook input priority 0; policy accept;
    ct state vmap { established : accept, related : accept, invalid : drop }
  }
  chain late {
    type filter hook input priority 10; policy accept;
    ct state invalid counter drop
  }
}
"""


@pytest.mark.skipif(not _CONNTRACK.exists(), reason="this kernel has no connection tracking loaded")
def test_rules_of_the_manual_exempt_probes_from_tracking(own_lab: Lab) -> None:
    """A stateful firewall tracks probes and drops answers, until the rules of the manual are
    loaded."""
    load(own_lab, STATEFUL)
    found = check(own_lab)[1]
    assert "UDP and TCP probes are tracked" in found["connection tracking"]["detail"]
    dropping = found["rules that drop answers"]
    assert dropping["status"] == "WARN"
    assert "inet host in, inet host late" in dropping["detail"]
    (manual,) = re.findall(
        r"```nft\n(table inet colotrace .*?)```", PROBE_HOSTS.read_text(), re.DOTALL
    )
    load(own_lab, manual)
    assert check(own_lab)[1]["connection tracking"]["status"] == "OK"
