"""Routers with only a link-local address: the real agent in its own lab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fleet import alone

from lab import Lab
from lab.uplinks import ip

pytestmark = pytest.mark.lab

ROUTER, HOST = "den1", "den01"


@pytest.fixture
def nameless(lab: Lab) -> Iterator[Lab]:
    """A lab whose first router of den01 has no global IPv6 address (`lab` skips if no lab can be
    built)."""
    with Lab(among=("den01", "web")) as built:
        own = built.address(ROUTER, family=6)
        shown = built.run(ROUTER, ["ip", "-6", "route", "show", "proto", "boot"])
        # Their source is this address, so the kernel drops them together with it.
        routes = [line.replace(f" src {own}", "") for line in shown.stdout.splitlines()]
        kept = [f"route replace {line}" for line in routes if " via " in line]
        assert kept, shown
        ip(built, ROUTER, f"address del {own}/128 dev lo", *kept, family=6)
        yield built


@pytest.mark.parametrize("packet_type", ["icmp", "udp", "tcp"])
def test_a_link_local_router_is_labelled_with_its_link(nameless: Lab, packet_type: str) -> None:
    """The node has the router's address and the label of the receiving interface."""
    web = nameless.address("web", family=6)
    told = alone.trace(nameless, HOST, [web], "--packet-type", packet_type)
    first, *others = told.rows[web]["hops"]
    (node,) = first["nodes"]
    assert node["ip"].startswith("fe80::")
    assert node["labels"] == ["%eth0"]
    assert node["packet_count"] == 3
    beyond = zip(told.hops(web)[1:], nameless.path(HOST, "web", family=6)[1:], strict=True)
    assert all(found and found <= hop.answers for found, hop in beyond)
    assert not any("labels" in each for hop in others for each in hop["nodes"])
    assert told.notes == ""


def test_link_local_targets_are_refused_with_the_reason(lab: Lab) -> None:
    """Without a zone the link is ambiguous; with a zone it is not a valid target."""
    targets = ["fe80::1", "fe80::1%eth0"]
    told = alone.trace(lab, HOST, targets)
    codes = [told.rows[target]["error"][-6:] for target in targets]
    assert codes == ["Code 4", "Code 3"]
    assert [told.rows[target]["hops"] for target in targets] == [[], []]
    assert [line.split(": ")[0] for line in told.notes.splitlines()] == targets
