"""Faults and unusual settings of the probe host: the real agent in namespaces."""

from __future__ import annotations

from typing import Any

import pytest
from fleet import AgentSpec, Fleet, alone

from lab import FAMILIES, Family, Lab, plan, uplinks
from lab.uplinks import ip

pytestmark = pytest.mark.lab

EACH_FAMILY = pytest.mark.parametrize("family", FAMILIES)
EACH_TYPE = pytest.mark.parametrize("packet_type", ["icmp", "udp", "tcp", "gre"])


def true_hops(lab: Lab, colo: str, target: str, family: Family) -> list[frozenset[str]]:
    return [hop.answers for hop in lab.path(colo, target, family=family)]


def agrees(seen: list[frozenset[str]], true: list[frozenset[str]]) -> bool:
    """Check that each hop shows one of its true addresses."""
    return len(seen) == len(true) and all(
        len(found) == 1 and found <= answers for found, answers in zip(seen, true, strict=True)
    )


# Routes.


@EACH_FAMILY
def test_default_route_with_the_lowest_metric_is_used(own_lab: Lab, family: Family) -> None:
    """After its removal the other one is used, since the agent looks up the route for each
    trace."""
    uplinks.add_second(own_lab)
    # The lab's own default route has metric 0 for IPv4 and 1024 for IPv6.
    ip(
        own_lab,
        "den01",
        "route add " + uplinks.default(family=family, more="metric 2000"),
    )
    web = own_lab.address("web", family=family)
    first = alone.trace(own_lab, "den01", [web]).hops(web)
    assert agrees(first, true_hops(own_lab, "den01", "web", family))
    default = "0.0.0.0/0" if family == 4 else "::/0"
    ip(own_lab, "den01", f"route del {default} dev eth0")
    then = alone.trace(own_lab, "den01", [web]).hops(web)
    assert agrees(then, true_hops(own_lab, "den02", "web", family))


@EACH_FAMILY
def test_policy_routing_by_target(own_lab: Lab, family: Family) -> None:
    """In one run, one target follows a rule and another the main table, each with its own source
    address."""
    uplinks.add_second(own_lab)
    web, hub = (own_lab.address(name, family=family) for name in ("web", "hub"))
    ip(
        own_lab,
        "den01",
        f"route add {uplinks.default(family=family, more='table 77')}",
        f"rule add to {web} lookup 77",
        family=family,
    )
    # Drop packets with the other uplink's source address.
    wrong = own_lab.address("den01", family=family), own_lab.address("den02", family=family)
    word = "ip" if family == 4 else "ip6"
    refuse_output(
        own_lab,
        f"oifname {uplinks.DEVICE} {word} saddr {wrong[0]} drop; "
        f"oifname eth0 {word} saddr {wrong[1]} drop;",
    )
    told = alone.trace(own_lab, "den01", [web, hub])
    assert agrees(told.hops(web), true_hops(own_lab, "den02", "web", family))
    assert agrees(told.hops(hub), true_hops(own_lab, "den01", "hub", family))
    assert told.notes == ""


@EACH_TYPE
def test_one_trace_uses_one_of_two_equal_uplinks(own_lab: Lab, packet_type: str) -> None:
    """All probes of a trace use the same uplink."""
    uplinks.add_second(own_lab)
    for family in FAMILIES:
        default = "0.0.0.0/0" if family == 4 else "::/0"
        argv = ["ip", f"-{family}", "route", "show", "default"]
        drawn = own_lab.run("den01", argv).stdout.split()
        via = drawn[drawn.index("via") + 1]
        other = uplinks.default(family=family).split(" via ")[1].split(" src ")[0]
        onlink = "onlink" if family == 4 else ""
        ip(
            own_lab,
            "den01",
            f"route del {default} dev eth0",
            f"route add {default} src {own_lab.address('den01', family=family)} "
            f"nexthop via {via} dev eth0 {onlink} nexthop via {other}",
        )
    targets = {family: own_lab.address("web", family=family) for family in FAMILIES}
    told = alone.trace(own_lab, "den01", list(targets.values()), "--packet-type", packet_type)
    for family, web in targets.items():
        hops = told.hops(web)
        assert agrees(hops, true_hops(own_lab, "den01", "web", family)) or agrees(
            hops, true_hops(own_lab, "den02", "web", family)
        )


def test_no_route_gives_code_4(own_lab: Lab) -> None:
    """Code 4 with the kernel's reason, at once."""
    ip(own_lab, "den01", "route del 0.0.0.0/0", "route del ::/0")
    targets = [own_lab.address("web", family=family) for family in FAMILIES]
    told = alone.trace(own_lab, "den01", targets)
    for web in targets:
        assert told.rows[web]["error"] == "Could not gather traceroute data: Code 4"
        assert told.rows[web]["hops"] == []
    assert told.notes.count("Network is unreachable") == 2
    assert told.status == 1


def test_interface_down_and_up(own_lab: Lab) -> None:
    """The agent stays attached: it traces before and after, and reports the reason in between."""
    spec = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
    targets = {family: own_lab.address("web", family=family) for family in FAMILIES}
    with Fleet(own_lab, agents=[spec]) as fleet:
        fleet.wait_attached()
        process = fleet.agents["den01-a"]

        def rows(packets: int) -> tuple[list[dict[str, Any]], str]:
            # Different options each time, since equal requests may share an answer.
            options = {"packets_per_ttl": packets}
            asked = {"targets": list(targets.values()), "colos": ["den01"], "options": options}
            answer = fleet.trace(asked)
            said = " / ".join(message["message"] for message in answer["messages"])
            return [target["colos"][0] for target in answer["result"]], said

        before, _ = rows(1)
        assert [row["error"] for row in before] == ["", ""]
        ip(own_lab, "den01", "link set eth0 down")
        (four, six), said = rows(2)
        assert four["error"] == "Could not gather traceroute data: Code 4"
        assert "Network is unreachable" in said
        assert six["error"] in {f"Could not gather traceroute data: Code {n}" for n in (3, 4)}
        assert four["hops"] == six["hops"] == []
        # As a network manager does: the kernel has dropped routes and IPv6 addresses.
        ip(
            own_lab,
            "den01",
            "link set eth0 up",
            f"address replace {own_lab.address('den01', family=6)}/128 dev eth0 nodad",
            "address replace fe80::1/64 dev eth0 scope link nodad",
            *(line for line in plan.node_lines("den01") if line.startswith("route add")),
            *neighbours(own_lab),
        )
        wait_usable(own_lab, targets[6])
        fleet.wait_families("ipv4", "ipv6")
        after, said = rows(3)
        assert [row["error"] for row in after] == ["", ""], said
        for row, was, family in zip(after, before, FAMILIES, strict=True):
            hops = [{node["ip"] for node in hop["nodes"]} for hop in row["hops"]]
            assert hops == [{node["ip"] for node in hop["nodes"]} for hop in was["hops"]], family
        assert process.poll() is None


def neighbours(lab: Lab) -> list[str]:
    """Restore the permanent neighbour entries that were dropped with the link."""
    return [
        line.replace("neigh add", "neigh replace")
        for line in plan.node_lines("den01")
        if line.startswith("neigh add")
    ]


def wait_usable(lab: Lab, address: str) -> None:
    """Wait until the kernel reaches the address again."""
    done = lab.run("den01", ["ping", "-n", "-c1", "-w10", address])
    assert done.returncode == 0, done.stdout


# Families.


def test_name_with_only_a_missing_family_gives_code_3(own_lab: Lab) -> None:
    """Code 3 with the reason, at once; targets of the other family are traced."""
    ip(own_lab, "den01", f"address del {own_lab.address('den01', family=6)}/128 dev eth0")
    check_ipv4_only(own_lab)


def test_ipv6_switched_off(own_lab: Lab) -> None:
    """Disabled by sysctl, as on many hosts."""
    switch = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
    assert own_lab.run("den01", ["sh", "-c", switch]).returncode == 0
    check_ipv4_only(own_lab)


def check_ipv4_only(lab: Lab) -> None:
    name, literal = "v6only.lab.example", lab.address("web", family=6)
    alien = [name, literal]
    told = alone.trace(lab, "den01", [*alien, "web.lab.example", lab.address("hub")])
    for target in alien:
        assert told.rows[target]["error"] == "Could not gather traceroute data: Code 3"
    assert f"{name}: {name} has only IPv6 addresses" in told.notes
    assert f"{literal}: the agent has no IPv6 address" in told.notes
    assert agrees(told.hops("web.lab.example"), true_hops(lab, "den01", "web", 4))
    assert agrees(told.hops(lab.address("hub")), true_hops(lab, "den01", "hub", 4))


def test_name_with_two_families_uses_the_one_with_a_route(own_lab: Lab) -> None:
    """An IPv6 address without a route does not prevent the trace."""
    ip(own_lab, "den01", "route del ::/0")
    told = alone.trace(own_lab, "den01", ["web.lab.example"])
    assert agrees(told.hops("web.lab.example"), true_hops(own_lab, "den01", "web", 4))


# The host itself.


@EACH_TYPE
def test_the_host_itself_and_loopback_are_one_hop(lab: Lab, packet_type: str) -> None:
    """All three probes are answered by the target's address in less than a millisecond."""
    own = [lab.address("den01", family=family) for family in FAMILIES]
    targets = [*own, "127.0.0.1", "127.0.0.9", "::1"]
    told = alone.trace(lab, "den01", targets, "--packet-type", packet_type)
    for target in targets:
        assert told.hops(target) == [{target}]
        assert told.rows[target]["target_summary"]["packet_count"] == 3
    assert told.notes == ""


def test_loopback_needs_allow_private(lab: Lab) -> None:
    """Loopback is traced only with --allow-private."""
    argv = [word for word in alone.command("127.0.0.1", "::1") if word != "--allow-private"]
    told = alone.read(lab.run_forked("den01", argv))
    for target in ("127.0.0.1", "::1"):
        assert told.rows[target]["error"] == "Could not gather traceroute data: Code 3"
        assert f"{target} is not a public address" in told.notes


# Probes that cannot be sent.


def refuse_output(lab: Lab, rules: str) -> None:
    """Load nftables output rules on den01's host."""
    chain = f"chain out {{ type filter hook output priority 0; {rules} }}"
    done = lab.run("den01", ["nft", f"table inet conditions {{\n{chain}\n}}\n"])
    assert done.returncode == 0, done.stderr


@EACH_TYPE
def test_local_firewall_that_drops_probes(own_lab: Lab, packet_type: str) -> None:
    """If it drops all probes: Code 4 with the reason. If it drops one TTL: not sent, not lost, with
    a message."""
    webs, hubs = (
        [own_lab.address(name, family=family) for family in FAMILIES] for name in ("web", "hub")
    )
    refuse_output(
        own_lab,
        f"ip daddr {hubs[0]} drop; ip daddr {webs[0]} ip ttl 2 drop; "
        f"ip6 daddr {hubs[1]} drop; ip6 daddr {webs[1]} ip6 hoplimit 2 drop;",
    )
    told = alone.trace(own_lab, "den01", [*webs, *hubs], "--packet-type", packet_type)
    for web, hub in zip(webs, hubs, strict=True):
        assert told.rows[hub]["error"] == "Could not gather traceroute data: Code 4"
        assert told.rows[hub]["hops"] == []
        assert f"{hub}: no probe could be sent from here: " in told.notes
        assert told.rows[web]["error"] == ""
        counts = [(hop["packets_sent"], hop["packets_lost"]) for hop in told.rows[web]["hops"]]
        assert counts == [(3, 0), (0, 0)] + [(3, 0)] * 6
        (said,) = (line for line in told.notes.splitlines() if line.startswith(f"{web}: "))
        assert "not counted as lost" in said
        assert "3 x Operation not permitted" in said


def test_full_local_queue_is_not_loss(own_lab: Lab) -> None:
    """The queue accepts nothing, so no probe counts as sent."""
    done = own_lab.run(
        "den01", ["tc", "qdisc", "add", "dev", "eth0", "root", "pfifo", "limit", "0"]
    )
    assert done.returncode == 0, done.stderr
    targets = [own_lab.address("web", family=family) for family in FAMILIES]
    told = alone.trace(own_lab, "den01", targets)
    for web in targets:
        assert told.rows[web]["error"] == "Could not gather traceroute data: Code 4"
        assert f"{web}: no probe could be sent from here: " in told.notes
    assert "No buffer space available" in told.notes


def test_missing_neighbour_with_long_wait(own_lab: Lab) -> None:
    """The kernel tries neighbour discovery three times, one second each, and reports a local
    failure."""
    targets = missing_neighbours(own_lab)
    told = alone.trace(own_lab, "den01", targets, "--wait-time", "5", "--max-ttl", "3")
    for address in targets:
        assert told.rows[address]["error"] == "Could not gather traceroute data: Code 4"
    assert told.notes.count("No route to host") == len(targets)


def test_missing_neighbour_with_default_wait(own_lab: Lab) -> None:
    """It does not count as loss, either."""
    targets = missing_neighbours(own_lab)
    told = alone.trace(own_lab, "den01", targets, "--max-ttl", "3")
    for address in targets:
        assert told.rows[address]["error"] == "Could not gather traceroute data: Code 4"
        assert f"no answer from neighbour {address} on eth0" in told.notes


@EACH_FAMILY
def test_missing_gateway_is_named(own_lab: Lab, family: Family) -> None:
    """The message names the gateway, not the target; the other family is still traced."""
    missing = missing_neighbours(own_lab)[FAMILIES.index(family)]
    default = "0.0.0.0/0" if family == 4 else "::/0"
    ip(
        own_lab,
        "den01",
        f"route del {default} dev eth0",
        f"route add {default} via {missing} dev eth0",
    )
    targets = {each: own_lab.address("web", family=each) for each in FAMILIES}
    told = alone.trace(own_lab, "den01", list(targets.values()))
    for each, web in targets.items():
        if each == family:
            assert told.rows[web]["error"] == "Could not gather traceroute data: Code 4"
            assert f"no answer from neighbour {missing} on eth0" in told.notes
        else:
            assert agrees(told.hops(web), true_hops(own_lab, "den01", "web", each))


def missing_neighbours(lab: Lab) -> list[str]:
    """Unused addresses in the networks of den01's host."""
    ip(
        lab,
        "den01",
        "address add 192.0.2.1/24 dev eth0",
        "address add 2001:db8:77::1/64 dev eth0 nodad",
    )
    return ["192.0.2.77", "2001:db8:77::77"]
