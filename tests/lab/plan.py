"""The drawn topology as kernel configuration: from names to lines for ip(8), sysctl and nft.

Next hops are the neighbours' own addresses (IPv4, `onlink`) and link-local ones (IPv6), all with
permanent neighbour entries: no ARP, no neighbour discovery, no duplicate address detection, hence
no first packet that takes longer or is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from lab.topology import (
    DROP_PORT,
    EXTRAS,
    FAMILIES,
    LINKS,
    NODES,
    Extra,
    Family,
    Kind,
    Node,
    address_in,
    address_of,
)
from lab.truth import neighbours, next_hops

_IDS = {name: i for i, name in enumerate(NODES, start=1)}


def interface(name: str, peer: str) -> str:
    """The name of the interface of a node towards a neighbour."""
    return f"to-{peer}" if NODES[name].kind is Kind.ROUTER else "eth0"


def _mac(name: str, peer: str) -> str:
    return f"02:00:00:00:{_IDS[name]:02x}:{_IDS[peer]:02x}"


def _link_local(name: str) -> str:
    return f"fe80::{_IDS[name]}"


def links(namespaces: dict[str, str]) -> list[str]:
    """Lines for ip(8) that make every veth pair, each end in its namespace."""
    return [
        f"link add {interface(a, b)} netns {namespaces[a]} address {_mac(a, b)} type veth "
        f"peer name {interface(b, a)} netns {namespaces[b]} address {_mac(b, a)}"
        for a, b in (link.ends for link in LINKS)
        if a in namespaces and b in namespaces
    ]


def node_lines(name: str, among: Collection[str] = NODES) -> list[str]:
    """Lines for ip(8) inside a node's namespace, once its links exist; `among`: the nodes that are
    built."""
    return [
        "link set lo up",
        *_addresses(NODES[name]),
        *(
            line
            for peer, _ in neighbours(name)
            if peer in among
            for line in _link_lines(name, peer)
        ),
        *(line for family in FAMILIES for line in _routes(name, among, family=family)),
    ]


def _addresses(node: Node) -> Iterator[str]:
    # A host's address is on its interface, where programs look for it; a router's is on no link.
    device = "lo" if node.kind is Kind.ROUTER else "eth0"
    for family in FAMILIES:
        length, flags = (32, "") if family == 4 else (128, " nodad")
        yield f"address add {address_of(node.name, family=family)}/{length} dev {device}{flags}"
        for extra in _extras_on(node.name, family=family):
            if not extra.refusal:
                address = address_in(extra.zone, extra.number, family=family)
                yield f"address add {address}/{length} dev lo{flags}"


def _extras_on(name: str, *, family: Family) -> Iterator[Extra]:
    return (extra for extra in EXTRAS if extra.node == name and family in extra.families)


def _link_lines(name: str, peer: str) -> Iterator[str]:
    device, mac = interface(name, peer), _mac(peer, name)
    yield f"link set {device} up"
    yield f"address add {_link_local(name)}/64 dev {device} scope link nodad"
    yield f"neigh add {address_of(peer, family=4)} lladdr {mac} dev {device} nud permanent"
    yield f"neigh add {_link_local(peer)} lladdr {mac} dev {device} nud permanent"


def _routes(name: str, among: Collection[str], *, family: Family) -> Iterator[str]:
    node = NODES[name]
    own = f"src {address_of(name, family=family)}"
    if node.kind is not Kind.ROUTER:
        ((gateway, _),) = neighbours(name)
        yield f"route add {_any(family)} {own} {_via(name, gateway, family=family)}"
        return
    for prefix, at in destinations(family=family):
        peers = [peer for peer in next_hops(name, at) if peer in among and at in among]
        if not peers:
            continue
        ways = [_via(name, peer, family=family) for peer in peers]
        spread = ways[0] if len(ways) == 1 else " ".join(f"nexthop {way}" for way in ways)
        yield f"route add {prefix} {own} {spread}"


def _any(family: Family) -> str:
    return "0.0.0.0/0" if family == 4 else "::/0"


def _via(name: str, peer: str, *, family: Family) -> str:
    device = interface(name, peer)
    if family == 4:
        return f"via {address_of(peer, family=4)} dev {device} onlink"
    return f"via {_link_local(peer)} dev {device}"


def destinations(*, family: Family) -> Iterator[tuple[str, str]]:
    """(address, node) of everything that can be traced."""
    for name in NODES:
        yield address_of(name, family=family), name
    for extra in EXTRAS:
        if family in extra.families:
            yield address_in(extra.zone, extra.number, family=family), extra.node


def sysctls(name: str, *, default_limits: bool) -> list[tuple[str, str]]:
    """(path below /proc/sys/net, value) for a node, in order, to be written before its links."""
    forwarding = "1" if NODES[name].kind is Kind.ROUTER else "0"
    values = [
        ("ipv4/ip_forward", forwarding),  # first: it resets its neighbours
        # Addresses, protocol, ports, and in IPv6 the flow label. Not policy 1, which also means
        # the first four: it trusts a hash that the packet brings along, and one from a socket of
        # this same kernel has a random one, so that a flow would change sides with its socket.
        ("ipv4/fib_multipath_hash_policy", "3"),
        ("ipv4/fib_multipath_hash_fields", str(0x37)),
        ("ipv6/fib_multipath_hash_policy", "3"),
        ("ipv6/fib_multipath_hash_fields", str(0x3F)),
        ("ipv4/icmp_errors_use_inbound_ifaddr", "0"),  # the route's `src` decides
    ]
    if Path("/proc/sys/net/ipv4/fib_multipath_hash_seed").exists():
        # Linux 6.11 and later: the same flow takes the same side in every lab.
        values.append(("ipv4/fib_multipath_hash_seed", "1"))
    for scope in ("all", "default"):
        values += [
            (f"ipv4/conf/{scope}/rp_filter", "0"),
            (f"ipv6/conf/{scope}/disable_ipv6", "0"),
            (f"ipv6/conf/{scope}/forwarding", forwarding),
            (f"ipv6/conf/{scope}/accept_ra", "0"),
            (f"ipv6/conf/{scope}/accept_dad", "0"),
            (f"ipv6/conf/{scope}/addr_gen_mode", "1"),  # no link-local address but ours
        ]
    if not default_limits:
        # The masks lift the host-wide limit too, which older kernels keep outside namespaces.
        values += [
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv4/icmp_ratemask", "0"),
            ("ipv6/icmp/ratelimit", "0"),
            ("ipv6/icmp/ratemask", "2"),  # packet-too-big alone: an empty set cannot be written
        ]
    return values


_FILTERS = {
    "mute": "chain out { type filter hook output priority 0; "
    "icmp type time-exceeded drop; icmpv6 type time-exceeded drop; }",
    "dark": "chain in { type filter hook input priority 0; policy drop; }\n"
    "chain out { type filter hook output priority 0; policy drop; }",
    "web": f"chain in {{ type filter hook input priority 0; tcp dport {DROP_PORT} drop; }}",
}


_REFUSALS = {
    ("unreachable", 4): "icmp host-unreachable",
    ("unreachable", 6): "icmpv6 addr-unreachable",
    ("prohibited", 4): "icmp admin-prohibited",
    ("prohibited", 6): "icmpv6 admin-prohibited",
}


def filters(name: str) -> str:
    """The nft rule set of a node; empty where it filters nothing."""
    chains = [_FILTERS[name]] if name in _FILTERS else []
    refused = [line for family in FAMILIES for line in _rejections(name, family=family)]
    if refused:
        # Not by a route of that type: the kernel limits what those say, and nothing lifts it.
        hook = "type filter hook prerouting priority 0;"
        chains.append(f"chain refuse {{ {hook} {'; '.join(refused)}; }}")
    return "\n".join(["table inet lab {", *chains, "}", ""]) if chains else ""


def _rejections(name: str, *, family: Family) -> Iterator[str]:
    for extra in _extras_on(name, family=family):
        if extra.refusal:
            address = address_in(extra.zone, extra.number, family=family)
            answer = _REFUSALS[extra.refusal, family]
            yield f"{'ip' if family == 4 else 'ip6'} daddr {address} reject with {answer}"
