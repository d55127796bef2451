"""Which address families a host has, wherever its addresses are and whenever they come."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
from collections.abc import Iterator

import pytest
from colotrace_agent.network.addresses import HostFamilies, local_addresses, working_families
from colotrace_proto.messages import Family as Ip
from fleet import alone

from lab import FAMILIES, Lab, plan
from lab.apart import Apart
from lab.uplinks import ip

pytestmark = pytest.mark.lab


@pytest.fixture
def host_alone(lab: Lab) -> Iterator[Lab]:
    """A lab whose den01 has no address at all but loopback's (`lab` sees to that there can be
    one)."""
    with Lab(among=("den01", "web")) as built:
        ip(built, "den01", "address flush dev mgmt0", "address flush dev eth0 scope global")
        yield built


def again(lab: Lab, family: int) -> None:
    """The default route of den01 as the lab has drawn it, if it has gone with its source."""
    default = "route add 0.0.0.0/0" if family == 4 else "route add ::/0"
    lines = [line for line in plan.node_lines("den01") if line.startswith(default)]
    assert lines
    ip(lab, "den01", *(line.replace("route add", "route replace") for line in lines))


def traced(lab: Lab, family: int) -> bool:
    """Whether the agent reaches the lab's web server over that family."""
    web = lab.address("web", family=4 if family == 4 else 6)
    row = alone.trace(lab, "den01", [web]).rows[web]
    if row["error"]:
        assert row["error"].endswith("Code 3"), row
    return not row["error"] and [node["ip"] for node in row["hops"][-1]["nodes"]] == [web]


def test_an_address_may_be_anywhere_on_the_host(host_alone: Lab) -> None:
    """On loopback, second behind a link-local one, under a label, or of IPv6 alone."""
    lab = host_alone
    own = {family: lab.address("den01", family=family) for family in FAMILIES}
    assert not traced(lab, 4)
    assert not traced(lab, 6)

    ip(lab, "den01", f"address add {own[6]}/128 dev lo")
    again(lab, 6)
    assert traced(lab, 6)
    assert not traced(lab, 4)

    for before, after in (
        (f"address add {own[4]}/32 dev lo", f"address del {own[4]}/32 dev lo"),
        (
            f"address add 169.254.7.7/16 dev eth0\naddress add {own[4]}/32 dev eth0",
            f"address del 169.254.7.7/16 dev eth0\naddress del {own[4]}/32 dev eth0",
        ),
        (
            f"address add {own[4]}/32 dev eth0 label eth0:1",
            f"address del {own[4]}/32 dev eth0",
        ),
    ):
        ip(lab, "den01", before)
        again(lab, 4)
        assert traced(lab, 4), before
        ip(lab, "den01", after)
        assert not traced(lab, 4), after


@pytest.fixture
def apart(lab: Lab) -> Iterator[Apart]:
    """A network namespace of this test's own, with loopback up."""
    with Apart() as apart:
        apart.do(lambda: commands("link set lo up"))
        yield apart


def commands(*lines: str) -> None:
    """Has ip(8) do every line in the caller's namespace."""
    text = "\n".join(lines)
    subprocess.run(["ip", "-batch", "-"], input=text, text=True, check=True)


def until(families: HostFamilies, expected: set[Ip]) -> None:
    """Until the families are these; the kernel adds an IPv6 address a moment after it was told."""
    fd = families.fileno()
    assert fd is not None
    while families.changed() != expected:
        readable, _, _ = select.select([fd], [], [], 10)
        assert readable, (families.changed(), expected)


def test_families_follow_the_addresses(apart: Apart) -> None:
    """Each is there as soon as its address is, and gone with it; the descriptor tells."""

    def act() -> None:
        with contextlib.closing(HostFamilies()) as families:
            assert families.changed() == frozenset()
            for line, expected in (
                ("address add 198.51.100.10/32 dev lo", {Ip.IPV4}),
                ("address add fd00::1/128 dev lo", {Ip.IPV4, Ip.IPV6}),
                ("address del 198.51.100.10/32 dev lo", {Ip.IPV6}),
                ("address add 169.254.1.1/32 dev lo", {Ip.IPV6}),
                ("address del fd00::1/128 dev lo", set()),
            ):
                commands(line)
                until(families, expected)

    apart.do(act)


def test_a_tentative_address_does_not_count_yet(apart: Apart) -> None:
    """Nobody may send from it before the kernel knows that nobody else has it (RFC 4862)."""

    def act() -> None:
        # Without a carrier, duplicate address detection does not come to its end.
        commands("link add up1 type veth peer name up1-peer", "link set up1 up")
        commands("address add fd00::1/64 dev up1")
        assert working_families() == frozenset()
        commands("address add fd00::2/64 dev up1 nodad")
        assert working_families() == {Ip.IPV6}

    apart.do(act)


def test_more_changes_than_the_kernel_can_tell(apart: Apart) -> None:
    """What overflows the subscription's buffer (ENOBUFS) is read anew."""
    many = [f"198.51.{n // 250}.{n % 250 + 1}/32 dev lo" for n in range(2_000)]

    def act() -> None:
        with contextlib.closing(HostFamilies()) as families:
            assert families._changes is not None
            families._changes._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            assert families.changed() == frozenset()
            commands(*(f"address add {each}" for each in many))
            until(families, {Ip.IPV4})
            assert len([each for each in local_addresses() if each.usable]) == len(many)
            commands(*(f"address del {each}" for each in many))
            until(families, set())

    apart.do(act)
