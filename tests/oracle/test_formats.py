"""The formats of other tools against these tools themselves, on the lab.

The agent's output goes through the readers of `peers`, which read the tools' own. Then keys and
types of JSON are compared: what a format lacks is what docs/formats.md lists.
"""

from __future__ import annotations

import json

import pytest
from lab import Lab

from .peers import Peer, mtr, scamper, traceroute

pytestmark = pytest.mark.lab

COLO = "den01"
LACKING = {"tx", "reply_ttl", "reply_tos", "reply_ipid", "reply_size",
           "icmp_q_ttl", "icmp_q_ipl", "icmp_q_tos"}  # fmt: skip
"""Keys of scamper's hops that agents don't report."""


def agents(lab: Lab, form: str, address: str) -> str:
    argv = ["colotrace-agent", "trace", "--format", form, "--no-names", "--allow-private", address]
    done = lab.run_forked(COLO, argv, timeout_s=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def tools(lab: Lab, peer: Peer, address: str) -> str:
    argv = [word.replace("{target}", address) for word in peer.argv]
    done = lab.run(COLO, argv, timeout_s=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def types(found: dict[str, object]) -> dict[str, type]:
    return {key: type(value) for key, value in found.items()}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("form", "peer"),
    [("text", traceroute("-I")), ("mtr", mtr()), ("scamper", scamper("icmp-paris"))],
    ids=["text", "mtr", "scamper"],
)
def test_reader_of_the_tool_finds_the_same_path(
    lab: Lab, form: str, peer: Peer, family: int
) -> None:
    address = lab.address("web", family=family)
    ours = peer.read(agents(lab, form, address), address)
    theirs = peer.read(tools(lab, peer, address), address)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert bool(mine) == bool(other)


def test_text_differs_from_traceroutes_in_times_only(lab: Lab) -> None:
    """Word by word, but for the end of the heading and how often a load-balanced hop changes."""
    address = lab.address("web")
    mine = agents(lab, "text", address).splitlines()
    done = lab.run(COLO, ["traceroute", "-I", "-w", "1,0,0", "-m", "15", address], timeout_s=60)
    theirs = done.stdout.splitlines()
    assert mine[0].split(", ")[:2] == theirs[0].split(", ")[:2]
    assert len(mine) == len(theirs)
    one, other = mine[-1], theirs[-1]
    assert one[:4] == other[:4]
    assert [word.startswith("  ") for word in one.split("ms")] == [
        word.startswith("  ") for word in other.split("ms")
    ]


def test_mtr_has_mtrs_keys_and_types(lab: Lab) -> None:
    address = lab.address("web")
    mine = json.loads(agents(lab, "mtr", address))
    theirs = json.loads(tools(lab, mtr(), address))
    assert types(mine) == types(theirs)
    mine, theirs = mine["report"], theirs["report"]
    assert types(mine) == types(theirs)
    assert list(mine["mtr"]) == list(theirs["mtr"])
    assert types(mine["mtr"]) == types(theirs["mtr"])
    assert {tuple(hub) for hub in mine["hubs"]} == {tuple(hub) for hub in theirs["hubs"]}
    assert types(mine["hubs"][-1]) == types(theirs["hubs"][-1])


@pytest.mark.parametrize("method", ["icmp-paris", "udp-paris"])
def test_scamper_has_scampers_keys_and_types(lab: Lab, method: str) -> None:
    address = lab.address("web")
    mine = json.loads(_agent_scamper(lab, method.removesuffix("-paris"), address))
    lines = map(json.loads, tools(lab, scamper(method), address).splitlines())
    (theirs,) = (line for line in lines if line["type"] == "trace")
    assert set(theirs) - set(mine) <= {"icmp_sum"}
    assert set(mine) - set(theirs) == {"colo"}
    assert types(mine).items() >= {(k, t) for k, t in types(theirs).items() if k in mine}
    assert (mine["method"], mine["stop_reason"]) == (theirs["method"], theirs["stop_reason"])
    first, other = mine["hops"][0], theirs["hops"][0]
    assert set(other) - set(first) == LACKING
    assert set(first) <= set(other)
    assert types(first) == {key: kind for key, kind in types(other).items() if key in first}
    assert (first["icmp_type"], first["icmp_code"]) == (other["icmp_type"], other["icmp_code"])


def _agent_scamper(lab: Lab, packet_type: str, address: str) -> str:
    argv = [
        *("colotrace-agent", "trace", "--format", "scamper", "--no-names", "--allow-private"),
        *("--packet-type", packet_type, address),
    ]
    done = lab.run_forked(COLO, argv, timeout_s=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
