"""`colotrace colos`: the table of colos."""

import json


def test_each_colo_is_a_line(api, run, envelope):
    """Name, city, state, agents, families and packet types."""
    known = [
        {
            "name": "den01",
            "city": "Denver, CO, US",
            "state": "up",
            "agents": 2,
            "families": ["ipv4", "ipv6"],
            "packet_types": ["icmp", "udp"],
            "later": {"unknown": True},
        },
        {"name": "sin01", "state": "down"},
    ]
    api.answers(envelope(known))
    result = run("colos")
    assert result.exit_code == 0
    assert api.asked[0][0] == "GET"
    assert api.asked[0][1].endswith("/diagnostics/traceroute/colos")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["colo", "city", "state", "agents", "families", "packet", "types"]
    assert lines[2] == ["den01", "Denver,", "CO,", "US", "up", "2", "IPv4", "IPv6", "icmp", "udp"]
    assert lines[3] == ["sin01", "down", "0"]


def test_no_colo_is_no_empty_table(api, run, envelope):
    """Where nothing has ever attached, the next step is named."""
    api.answers(envelope([]))
    assert "colotrace-agent run" in run("colos").stdout


def test_json_is_the_body(api, run, envelope):
    """`--json` prints what the API sent."""
    api.answers(envelope([{"name": "den01"}]))
    assert json.loads(run("colos", "--json").stdout)["result"] == [{"name": "den01"}]


def test_an_older_coordinator_is_told_from_a_wrong_account(api, run, failure):
    """An unknown route: the settings to look at are named."""
    api.answers(failure({"code": 7003, "message": "Could not route to /x"}), status=404)
    result = run("colos")
    assert result.exit_code == 3
    assert "COLOTRACE_URL and COLOTRACE_ACCOUNT" in result.stderr
