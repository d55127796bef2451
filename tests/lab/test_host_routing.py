"""Probes are routed like ordinary traffic, with the host's rules and equal-cost routes. They are
compared with ordinary sockets of the same ports on the same host (`host_flows`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import alone

from lab import FAMILIES, Family, Lab, plan, uplinks
from lab.uplinks import ip

# One worker runs all of them, because they share a lab.
pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("host routing")]

HOST = "den01"
PORT = 33_434
_UNUSED = {4: "10.98.0.9", 6: "fd98::9"}
_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
EACH_FAMILY = pytest.mark.parametrize("family", FAMILIES)
WITH_PORTS = pytest.mark.parametrize("packet_type", ["udp", "tcp"])
EACH_ENGINE = pytest.mark.parametrize("bulk", [False, True], ids=["single", "bulk"])


@pytest.fixture(scope="module")
def built(lab: Lab) -> Iterator[Lab]:
    """A lab whose den01 has a second uplink (`lab` skips if no lab can be built)."""
    with Lab(among=("den01", "den02", "web", "dark", "far")) as own:
        uplinks.add_second(own)
        yield own


@pytest.fixture
def two_ways(built: Lab) -> Iterator[Lab]:
    """The same lab; changes of routes, rules and filters are undone after each test."""
    yield built
    for family in FAMILIES:
        own, length = built.address(HOST, family=family), 32 if family == 4 else 128
        flags = "nodad" if family == 6 else ""
        (default,) = (
            line.removeprefix("route add ")
            for line in plan.node_lines(HOST)
            if line.startswith(f"route add {_DEFAULT[family]} ")
        )
        _quietly(built, f"ip -{family} route flush table 77")
        _quietly(built, f"ip -4 route del {first_hops(built, 4)[1]}/32 dev {uplinks.DEVICE}")
        _quietly(built, f"ip -{family} address del {own}/{length} dev lo")
        _quietly(built, f"ip -{family} address del {_UNUSED[family]}/{length} dev eth0")
        ip(built, HOST, "rule flush", family=family)
        ip(
            built,
            HOST,
            "rule add pref 32766 lookup main",
            f"address replace {own}/{length} dev eth0 {flags}",
            f"route flush {_DEFAULT[family]}",
            f"route add {default}",
            family=family,
        )
    _quietly(built, "nft flush ruleset")


def _quietly(lab: Lab, command: str) -> None:
    """Run a command on the host and ignore its failure."""
    lab.run(HOST, command.split())


def first_hops(lab: Lab, family: Family) -> list[str]:
    """The first routers of both uplinks."""
    return [lab.address(router, family=family) for router in ("den1", uplinks.ROUTER)]


def balance(lab: Lab, family: Family, *, source: str = "", policy: int = 1, via: str = "") -> None:
    """Make both uplinks equal-cost next hops. `source` is a source address for both, on loopback,
    since the kernel prefers the uplink that has the source (Linux 6.16). `policy` is the kernel's
    hash policy: 0 addresses, 1 also ports. `via` gives other gateways.
    """
    done = lab.run(
        HOST, ["sh", "-c", f"echo {policy} > /proc/sys/net/ipv{family}/fib_multipath_hash_policy"]
    )
    assert done.returncode == 0, done.stderr
    length, nodad = (32, "") if family == 4 else (128, " nodad")
    shown = lab.run(HOST, ["ip", f"-{family}", "route", "show", "default"]).stdout.split()
    first = f"via {shown[shown.index('via') + 1]} dev eth0 {'onlink' if family == 4 else ''}"
    second = "via " + uplinks.default(family=family).split(" via ")[1].split(" src ")[0]
    lines = [f"route flush {_DEFAULT[family]}"]
    if source:
        lines.append(f"address del {source}/{length} dev eth0")
        lines += [f"address add {source}/{length} dev lo{nodad}"]
        lines += [f"address add {_UNUSED[family]}/{length} dev eth0{nodad}"]
    hops = via or f"nexthop {first} nexthop {second}"
    lines.append(f"route add {_DEFAULT[family]} {f'src {source}' if source else ''} {hops}")
    ip(lab, HOST, *lines, family=family)


def told(lab: Lab, mode: str, kind: str, target: str, *more: str | int) -> list[dict[str, Any]]:
    """Run `host_flows`; returns its output."""
    argv = ["host_flows", mode, kind, str(PORT), target, *(str(each) for each in more)]
    done = lab.run_forked(HOST, argv, timeout_s=60)
    assert done.returncode == 0, done.stderr
    said: list[dict[str, Any]] = json.loads(done.stdout)
    return said


def hold_against_sockets(lab: Lab, kind: str, target: str, *, flows: int = 24) -> set[str]:
    """Check that every flow of the agent has the first hop and source address of a socket with the
    same ports; returns the first hops."""
    ours = told(lab, "probes", kind, target, flows)
    theirs = told(lab, "sockets", kind, target, *(each["port"] for each in ours))
    assert len(ours) == flows
    assert ours == theirs
    return {first for each in ours for first in each["first"]}


def rows_of(lab: Lab, tmp_path: Path, targets: list[str], *options: str, bulk: bool) -> alone.Told:
    """Run the agent with one of its engines."""
    if not bulk:
        return alone.trace(lab, HOST, targets, *options)
    file = tmp_path / "targets"
    file.write_text("\n".join(targets))
    tmp_path.chmod(0o755)
    argv = alone.command(*options, "--targets-file", str(file))
    return alone.read(lab.run_forked(HOST, argv, timeout_s=60))


def gateway_is_neighbour(lab: Lab) -> None:
    """Make the second gateway reachable through the main table. The kernel looks up a gateway
    without ports, so one that only the rule's own table can reach cannot be used."""
    ip(lab, HOST, f"route add {first_hops(lab, 4)[1]}/32 dev {uplinks.DEVICE}")


@EACH_FAMILY
@WITH_PORTS
def test_flows_spread_by_ports_like_sockets(
    two_ways: Lab, family: Family, packet_type: str
) -> None:
    """Each flow takes the next hop of a socket with its ports; --multipath shows both next hops."""
    balance(two_ways, family, source=two_ways.address(HOST, family=family))
    web = two_ways.address("web", family=family)
    both = set(first_hops(two_ways, family))
    assert hold_against_sockets(two_ways, packet_type, web) == both
    seen = alone.trace(
        two_ways, HOST, [web], "--packet-type", packet_type, "--multipath", "--max-ttl", "2"
    )
    assert seen.hops(web)[0] == both


@EACH_FAMILY
@WITH_PORTS
def test_flows_spread_by_addresses_like_sockets(
    two_ways: Lab, family: Family, packet_type: str
) -> None:
    """All flows and sockets to one target take the same next hop."""
    balance(two_ways, family, source=two_ways.address(HOST, family=family), policy=0)
    for name in ("web", "far"):
        target = two_ways.address(name, family=family)
        assert len(hold_against_sockets(two_ways, packet_type, target, flows=5)) == 1


@EACH_FAMILY
def test_equal_uplinks_with_own_addresses_give_the_source(two_ways: Lab, family: Family) -> None:
    """The source address is the one that the kernel gives to a socket."""
    balance(two_ways, family)
    web = two_ways.address("web", family=family)
    assert hold_against_sockets(two_ways, "udp", web) == set(first_hops(two_ways, family))


def test_equal_uplinks_with_ipv6_gateways_carry_ipv4(two_ways: Lab) -> None:
    """BGP unnumbered: IPv6 next hops for IPv4 routes, each on its own link."""
    shown = two_ways.run(HOST, ["ip", "-6", "route", "show", "default"]).stdout.split()
    first = shown[shown.index("via") + 1]
    second = uplinks.default(family=6).split(" via ")[1].split(" src ")[0]
    hops = f"nexthop via inet6 {first} dev eth0 nexthop via inet6 {second}"
    balance(two_ways, 4, source=two_ways.address(HOST, family=4), via=hops)
    web = two_ways.address("web", family=4)
    assert hold_against_sockets(two_ways, "udp", web) == set(first_hops(two_ways, 4))


@EACH_FAMILY
@pytest.mark.parametrize(
    ("rule", "matched", "others", "bulk"),
    [
        ("ipproto udp", ["udp"], ["icmp", "tcp", "gre"], False),
        ("ipproto tcp dport 443", ["tcp"], ["udp"], False),
        ("ipproto {icmp}", ["icmp"], ["gre"], False),
        ("ipproto udp", ["udp"], ["gre"], True),
        ("sport 20000-32767", ["udp"], ["icmp"], True),
    ],
)
def test_rules_by_protocol_and_port(
    two_ways: Lab,
    tmp_path: Path,
    family: Family,
    *,
    bulk: bool,
    rule: str,
    matched: list[str],
    others: list[str],
) -> None:
    """Flows that a rule selects use its uplink and that uplink's address; others use the main
    table."""
    if family == 4 and "port" in rule:
        gateway_is_neighbour(two_ways)
    rule = rule.format(icmp="icmp" if family == 4 else "ipv6-icmp")
    ip(
        two_ways,
        HOST,
        f"route add {uplinks.default(family=family, more='table 77')}",
        f"rule add {rule} lookup 77",
        family=family,
    )
    # Drop packets with the other uplink's source address.
    wrong = (two_ways.address(name, family=family) for name in (HOST, uplinks.OTHER))
    word = "ip" if family == 4 else "ip6"
    rules = (
        f"oifname {uplinks.DEVICE} {word} saddr {next(wrong)} drop; "
        f"oifname eth0 {word} saddr {next(wrong)} drop;"
    )
    chain = f"chain out {{ type filter hook output priority 0; {rules} }}"
    done = two_ways.run(HOST, ["nft", f"table inet conditions {{\n{chain}\n}}\n"])
    assert done.returncode == 0, done.stderr
    web = two_ways.address("web", family=family)
    main, other = first_hops(two_ways, family)
    for packet_type in (*matched, *others):
        options = ["--packet-type", packet_type, "--max-ttl", "3"]
        if packet_type == "tcp":
            options += ["--port", "443"]
        seen = rows_of(two_ways, tmp_path, [web], *options, bulk=bulk)
        expected = other if packet_type in matched else main
        assert seen.hops(web)[0] == {expected}, packet_type
        assert seen.rows[web]["hops"][0]["packets_lost"] == 0


@EACH_ENGINE
@pytest.mark.parametrize(("rule", "kind"), [("dport 33434", "udp"), ("ipproto gre", "gre")])
def test_rule_that_cannot_be_followed_gives_a_message(
    two_ways: Lab, tmp_path: Path, *, bulk: bool, rule: str, kind: str
) -> None:
    """A rule by ports with a gateway that only its own table can reach, and GRE, which has no route
    look-up, follow the main table with a message. Other flows have no message."""
    table = uplinks.default(family=4, more="table 77")
    ip(two_ways, HOST, f"route add {table}", f"rule add {rule} lookup 77", family=4)
    web = two_ways.address("web")
    for packet_type in (kind, "icmp"):
        seen = rows_of(two_ways, tmp_path, [web], "--packet-type", packet_type, bulk=bulk)
        assert seen.hops(web)[0] == {first_hops(two_ways, 4)[0]}
        assert bool(seen.notes) == (packet_type == kind), seen.notes


@EACH_ENGINE
def test_a_rule_by_source_address(two_ways: Lab, tmp_path: Path, *, bulk: bool) -> None:
    """Like a connected IPv4 socket, a flow is routed again with its source address."""
    own = two_ways.address(HOST, family=4)
    gateway_is_neighbour(two_ways)
    ip(
        two_ways,
        HOST,
        f"route add {uplinks.default(family=4, more='table 77')}",
        f"rule add from {own} lookup 77",
        family=4,
    )
    web = two_ways.address("web", family=4)
    other = first_hops(two_ways, 4)[1]
    assert hold_against_sockets(two_ways, "udp", web, flows=3) == {other}
    seen = rows_of(two_ways, tmp_path, [web], "--packet-type", "udp", bulk=bulk)
    assert seen.hops(web)[0] == {other}


@EACH_ENGINE
@pytest.mark.parametrize("packet_type", ["icmp", "udp", "tcp", "gre"])
def test_all_kinds_of_targets_with_equal_uplinks(
    two_ways: Lab, tmp_path: Path, packet_type: str, *, bulk: bool
) -> None:
    """The host itself, loopback, a neighbour and a remote target are traced completely."""
    near: list[str] = ["127.0.0.1", "::1"]
    far: dict[str, set[str]] = {}
    for family in FAMILIES:
        own = two_ways.address(HOST, family=family)
        balance(two_ways, family, source=own)
        near += [own, first_hops(two_ways, family)[0]]
        far[two_ways.address("web", family=family)] = set(first_hops(two_ways, family))
    seen = rows_of(two_ways, tmp_path, [*near, *far], "--packet-type", packet_type, bulk=bulk)
    for each in near:
        assert seen.hops(each)[-1] == {each}
    for web, routers in far.items():
        assert seen.hops(web)[-1] == {web}
        assert len(seen.hops(web)[0]) == 1
        assert seen.hops(web)[0] <= routers


@EACH_FAMILY
def test_running_flow_follows_a_route_change(two_ways: Lab, family: Family) -> None:
    """After a rule is deleted during a trace, its later probes use the main table."""
    own = two_ways.address(HOST, family=family)
    default = uplinks.default(family=family, more="table 77")
    other = two_ways.address(uplinks.OTHER, family=family)
    ip(
        two_ways,
        HOST,
        f"route add {default.replace(f'src {other}', f'src {own}')}",
        "rule add ipproto udp lookup 77",
        family=family,
    )
    silent = two_ways.address("dark", family=family)
    line = f"-{family} rule del ipproto udp lookup 77"
    (flow,) = told(two_ways, "again", "udp", silent, line)
    assert flow["source"] == own
    assert flow["first"] == sorted(first_hops(two_ways, family))


def test_equal_gateways_on_one_link_are_distinguished(two_ways: Lab) -> None:
    """Both use one interface, so probes are addressed to the gateway."""
    lab = two_ways
    shown = lab.run("den1", ["ip", "-j", "route", "get", lab.address(HOST)]).stdout
    link = json.loads(shown)[0]["dev"]
    ip(
        lab,
        "den1",
        f"link add link {link} name second type macvlan mode bridge",
        f"link set second netns {lab.namespace(uplinks.ROUTER)}",
        f"address add 10.99.0.1/24 dev {link}",
    )
    ip(lab, uplinks.ROUTER, "link set second up", "address add 10.99.0.2/24 dev second")
    ip(lab, HOST, "address add 10.99.0.9/24 dev eth0")
    hops = "nexthop via 10.99.0.1 nexthop via 10.99.0.2"
    balance(lab, 4, source=lab.address(HOST), via=hops)
    web = lab.address("web")
    try:
        assert hold_against_sockets(lab, "udp", web) == set(first_hops(lab, 4))
    finally:
        ip(lab, uplinks.ROUTER, "link del second")
        ip(lab, "den1", f"address del 10.99.0.1/24 dev {link}")
        ip(lab, HOST, "address del 10.99.0.9/24 dev eth0")
