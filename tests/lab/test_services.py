"""Services of the lab: names, ASNs, TCP ports, the management network."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.reversename
import maxminddb
import pytest

from lab import CLOSED_PORT, DROP_PORT, LAME_DOMAIN, OPEN_PORT, Family, Lab, truth

pytestmark = pytest.mark.lab


def ask(lab: Lab, name: str, kind: str, *, timeout_s: float = 5.0) -> tuple[str, list[str]]:
    host, port = lab.resolver.split(":")
    query = dns.message.make_query(name, kind)
    answer = dns.query.udp(query, host, port=int(port), timeout=timeout_s)
    texts = [str(record) for rrset in answer.answer for record in rrset]
    return dns.rcode.to_text(answer.rcode()), texts


def test_forward_names(lab: Lab) -> None:
    assert ask(lab, "web.lab.example", "A") == ("NOERROR", ["198.18.30.80"])
    assert ask(lab, "web.lab.example", "AAAA") == ("NOERROR", ["2001:db8:30::80"])
    assert ask(lab, "v4only.lab.example", "AAAA") == ("NOERROR", [])
    assert ask(lab, "v6only.lab.example", "A") == ("NOERROR", [])
    assert ask(lab, "v6only.lab.example", "AAAA") == ("NOERROR", ["2001:db8:30::6"])
    assert ask(lab, "nosuch.lab.example", "A") == ("NXDOMAIN", [])
    assert ask(lab, "www.example.org", "A") == ("NXDOMAIN", [])


def test_ptr_records_match_the_ground_truth(lab: Lab) -> None:
    for address, item in truth.addresses().items():
        if item.name != "lame":
            name = lab.name_of(address)
            expected = ("NOERROR", [f"{name}."]) if name else ("NXDOMAIN", [])
            assert ask(lab, str(dns.reversename.from_address(address)), "PTR") == expected


@pytest.mark.parametrize("family", [4, 6])
def test_lame_names_are_never_answered(lab: Lab, family: Family) -> None:
    reverse = dns.reversename.from_address(lab.address("lame", family=family))
    for name, kind in ((f"some.{LAME_DOMAIN}", "A"), (str(reverse), "PTR")):
        with pytest.raises(dns.exception.Timeout):
            ask(lab, name, kind, timeout_s=0.2)


def test_programs_in_a_colo_use_the_labs_resolver_and_the_machine_keeps_its_own(
    lab: Lab,
) -> None:
    before = Path("/etc/resolv.conf").read_text()
    done = lab.run("fra01", ["getent", "ahostsv4", "web.lab.example"])
    assert done.stdout.split()[0] == "198.18.30.80"
    assert Path("/etc/resolv.conf").read_text() == before
    assert before != lab.run("fra01", ["cat", "/etc/resolv.conf"]).stdout


def test_asn_file_matches_the_ground_truth(lab: Lab) -> None:
    with maxminddb.open_database(lab.asn_db) as reader:
        for address in truth.addresses():
            record = reader.get(address)
            found = record["autonomous_system_number"] if isinstance(record, dict) else None
            assert found == lab.asn_of(address)
        core = reader.get("198.18.10.1")
        assert core == {
            "autonomous_system_number": 64505,
            "autonomous_system_organization": "Example Core",
        }
        assert reader.metadata().database_type == "GeoLite2-ASN"


CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    print("nothing")
"""


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("port", "timeout_s", "outcome"),
    [(OPEN_PORT, 5, "open"), (CLOSED_PORT, 5, "refused"), (DROP_PORT, 0.3, "nothing")],
)
def test_tcp_ports_of_web(
    lab: Lab, port: int, timeout_s: float, outcome: str, family: Family
) -> None:
    address = lab.address("web", family=family)
    done = lab.run("den02", ["python3", "-c", CONNECT, address, str(port), str(timeout_s)])
    assert done.stdout.strip() == outcome, done.stderr


def test_a_colo_reaches_a_server_of_the_caller(lab: Lab) -> None:
    with socket.create_server((lab.management_address, 0)) as server:
        port = server.getsockname()[1]
        argv = ["python3", "-c", CONNECT, lab.management_address, str(port), "5"]
        assert lab.run("sin01", argv).stdout.strip() == "open"


def test_the_caller_reaches_a_server_in_its_own_namespace(lab: Lab) -> None:
    argv = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
    server = lab.spawn(None, argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout
    port = int(server.stdout.readline().split(b" port ")[1].split()[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("HEAD", "/")
    assert connection.getresponse().status == 200
    connection.close()
    server.stop()


def test_management_network_does_not_reach_the_traced_network(lab: Lab) -> None:
    argv = ["ping", "-c", "1", "-W", "1", lab.management_address]
    assert lab.run("web", argv).returncode
    assert not lab.run("den01", argv).returncode
