"""The agent finds a host's address families, wherever and whenever the addresses are added."""

from __future__ import annotations

import contextlib
import os
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
    """A lab whose den01 has only loopback addresses (`lab` skips if no lab can be built)."""
    with Lab(among=("den01", "web")) as built:
        ip(built, "den01", "address flush dev mgmt0", "address flush dev eth0 scope global")
        yield built


def again(lab: Lab, family: int) -> None:
    """Restore den01's default route, if it was deleted together with its source address."""
    default = "route add 0.0.0.0/0" if family == 4 else "route add ::/0"
    lines = [line for line in plan.node_lines("den01") if line.startswith(default)]
    assert lines
    ip(lab, "den01", *(line.replace("route add", "route replace") for line in lines))


def traced(lab: Lab, family: int) -> bool:
    """Whether the agent reaches the lab's web server over a family."""
    web = lab.address("web", family=4 if family == 4 else 6)
    row = alone.trace(lab, "den01", [web]).rows[web]
    if row["error"]:
        assert row["error"].endswith("Code 3"), row
    return not row["error"] and [node["ip"] for node in row["hops"][-1]["nodes"]] == [web]


def test_an_address_may_be_anywhere_on_the_host(host_alone: Lab) -> None:
    """On loopback, as secondary address, after a link-local one, with a label, or IPv6 only."""
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
    """A network namespace for one test, with loopback up."""
    with Apart() as apart:
        apart.do(lambda: commands("link set lo up"))
        yield apart


def commands(*lines: str) -> None:
    """Run each line with ip(8) in the caller's namespace."""
    text = "\n".join(lines)
    subprocess.run(["ip", "-batch", "-"], input=text, text=True, check=True)


def until(families: HostFamilies, expected: set[Ip]) -> None:
    """Wait for the expected families; the kernel adds IPv6 addresses with a delay."""
    fd = families.fileno()
    assert fd is not None
    while families.current() != expected:
        readable, _, _ = select.select([fd], [], [], 10)
        assert readable, (families.current(), expected)


def test_families_follow_the_addresses(apart: Apart) -> None:
    """A family appears and disappears with its address, and the descriptor becomes readable."""

    def act() -> None:
        with contextlib.closing(HostFamilies()) as families:
            assert families.current() == frozenset()
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
    """It is not a source address before duplicate address detection has ended (RFC 4862)."""

    def act() -> None:
        # Without a carrier, duplicate address detection does not end.
        commands("link add up1 type veth peer name up1-peer", "link set up1 up")
        commands("address add fd00::1/64 dev up1")
        assert working_families() == frozenset()
        commands("address add fd00::2/64 dev up1 nodad")
        assert working_families() == {Ip.IPV6}

    apart.do(act)


def test_overflow_of_the_subscription_reads_the_state_again(apart: Apart) -> None:
    """After an overflow of the subscription's buffer (ENOBUFS), the addresses are read again."""
    many = [f"198.51.{n // 250}.{n % 250 + 1}/32 dev lo" for n in range(2_000)]

    def act() -> None:
        with contextlib.closing(HostFamilies()) as families:
            fd = families.fileno()
            assert fd is not None
            with socket.socket(fileno=os.dup(fd)) as subscription:
                subscription.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            assert families.current() == frozenset()
            commands(*(f"address add {each}" for each in many))
            until(families, {Ip.IPV4})
            assert len([each for each in local_addresses() if each.usable]) == len(many)
            commands(*(f"address del {each}" for each in many))
            until(families, set())

    apart.do(act)
