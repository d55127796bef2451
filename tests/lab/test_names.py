"""The agent resolves names like other programs of the host: hosts file, search domains,
families."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fleet import alone
from fleet.alone import Told

from lab import Lab, zones

pytestmark = pytest.mark.lab

# Search domains: missing, failing, correct, refusing.
RESOLV_CONF = f"""\
nameserver {zones.ADDRESS}
search nx.test servfail.test corp.test refused.test
options ndots:5 timeout:1 attempts:1
"""
HOSTS = """\
127.0.0.1 localhost
::1 localhost
127.2.0.1 only-in-hosts
2001:db8:dead::1 two-families
127.2.0.2 two-families
2001:db8:dead::1 six-only
"""
_MOUNT = 'mount --bind "$1" /etc/resolv.conf; mount --bind "$2" /etc/hosts; shift 2; exec "$@"'


class Host:
    """A lab host with its own name server, resolv.conf and hosts file."""

    def __init__(self, lab: Lab, folder: Path, *records: str, search: str = RESOLV_CONF) -> None:
        self._lab = lab
        self._resolv_conf, self._hosts = folder / "resolv.conf", folder / "hosts"
        self._resolv_conf.write_text(search)
        self._hosts.write_text(HOSTS)
        argv = [sys.executable, Path(zones.__file__), zones.ADDRESS, *records]
        self._server = lab.spawn("den01", argv, stdout=subprocess.PIPE)
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n"

    def command(self, argv: Sequence[str | Path]) -> list[str | Path]:
        """The command line that runs a program with these files."""
        return ["sh", "-c", _MOUNT, "sh", self._resolv_conf, self._hosts, *argv]

    def run(
        self, argv: Sequence[str | Path], *, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        return self._lab.run("den01", self.command(argv), timeout_s=timeout_s)

    def first(self, name: str) -> str:
        """The first address of `getent ahosts`; "" if the name does not resolve."""
        words = self.run(["getent", "ahosts", name]).stdout.split()
        return words[0] if words else ""

    def trace(self, *targets: str, allow_private: bool = True) -> Told:
        argv = alone.command("--max-ttl", "1", "--wait-time", "0.3", *targets)
        if not allow_private:
            argv.remove("--allow-private")
        return alone.read(self.run(argv))

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def host(lab: Lab, tmp_path: Path) -> Iterator[Host]:
    route = ["ip", "-6", "route", "add", "unreachable", "2001:db8:dead::/48"]
    assert lab.run("den01", route).returncode == 0
    host = Host(lab, tmp_path)
    yield host
    host.stop()
    route[3] = "delete"
    assert lab.run("den01", route).returncode == 0


def test_names_resolve_as_for_other_programs_of_the_host(host: Host) -> None:
    """With search domains of all kinds, in the order of the C library, to an address with a
    route."""
    names = ["www.example", "www.example.", "WWW.Example", "under_score.example", "two.example",
             "alone", "localhost", "only-in-hosts", "two-families"]  # fmt: skip
    told = host.trace(*names)
    for name in names:
        row = told.rows[name]
        assert row["error"] == "", (name, told.notes)
        assert row["target_summary"]["ip"] == host.first(name), name


@pytest.mark.parametrize("zone", ["nx.test", "servfail.test", "refused.test", "silent.test"])
def test_bad_search_domain_does_not_end_the_search(lab: Lab, tmp_path: Path, zone: str) -> None:
    """Like other programs, the agent then tries the name itself; a silent search domain takes its
    timeout."""
    host = Host(lab, tmp_path, search=RESOLV_CONF.replace("nx.test servfail.test corp.test", zone))
    told = host.trace("www.example")
    host.stop()
    assert told.rows["www.example"]["target_summary"]["ip"] == "127.1.0.1"


def test_names_follow_idna_2008(host: Host) -> None:
    """The sharp s is not mapped to ss."""
    told = host.trace("straße.example", "strasse.example", "xn--strae-oqa.example")
    assert {name: row["target_summary"]["ip"] for name, row in told.rows.items()} == {
        "straße.example": "127.1.0.3",
        "strasse.example": "127.1.0.4",
        "xn--strae-oqa.example": "127.1.0.3",
    }


def test_names_without_usable_address_give_code_3(host: Host) -> None:
    """A missing name, an invalid name, and a name without a usable address."""
    told = host.trace("nobody.example", "a..b", "six-only")
    assert told.rows["nobody.example"]["error"].endswith("Code 3")
    assert told.rows["a..b"]["error"].endswith("Code 3")
    assert told.rows["six-only"]["error"].endswith("Code 4")
    assert "nobody.example does not resolve" in told.notes


def test_answer_hides_the_private_address_of_a_name(host: Host) -> None:
    """Neither the row nor the message shows it."""
    told = host.trace("inner.example", allow_private=False)
    row = told.rows["inner.example"]
    assert row["error"].endswith("Code 3")
    assert row["target_summary"]["ip"] == ""
    assert "10.20.30.40" not in told.notes
    assert "--allow-private" in told.notes


def test_names_of_a_targets_file_resolve_alike(host: Host, tmp_path: Path) -> None:
    """With the same fall-back to another address."""
    names = ["www.example.", "two-families", "six-only", "inner.example", "a..b"]
    listed = tmp_path / "targets"
    listed.write_text("\n".join(names))
    told = host.trace("--targets-file", str(listed))
    shown = {name: told.rows[name]["target_summary"]["ip"] for name in names[:2]}
    assert shown == {"www.example.": "127.1.0.1", "two-families": "127.2.0.2"}
    assert told.rows["six-only"]["error"].endswith("Code 4")
    assert told.rows["a..b"]["error"].endswith("Code 3")


@pytest.mark.parametrize("zone", ["refused.test", "silent.test"])
def test_agent_finds_its_coordinator_with_a_bad_search_domain(
    lab: Lab, tmp_path: Path, zone: str
) -> None:
    """It resolves the coordinator's name like other programs of the host."""
    with socket.create_server((lab.management_address, 0)) as server:
        server.settimeout(30)
        search = RESOLV_CONF.replace("nx.test servfail.test corp.test", zone)
        host = Host(lab, tmp_path, f"coord.example={lab.management_address}", search=search)
        argv = [alone.COMMAND, "run", "--insecure", "--colo", "den01", "--city", "Denver",
                "--coordinator", f"coord.example:{server.getsockname()[1]}"]  # fmt: skip
        agent = lab.spawn("den01", host.command(argv), stderr=subprocess.DEVNULL)
        server.accept()[0].close()
        agent.stop()
        host.stop()
