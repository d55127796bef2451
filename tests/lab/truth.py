"""What a perfect traceroute would say: computed from the drawn topology, never measured."""

from __future__ import annotations

import heapq
import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from lab.topology import (
    DOMAIN,
    EXTRAS,
    LINKS,
    NODES,
    ZONES,
    Extra,
    Family,
    Kind,
    Node,
    Zone,
    address_in,
    address_of,
)


@dataclass(frozen=True, slots=True)
class Hop:
    """Who sits at one TTL."""

    ttl: int
    addresses: frozenset[str]
    """Whose turn it is: several where a balanced path leads to any of them."""
    silent: bool
    """Nothing ever answers at this TTL."""

    @property
    def answers(self) -> frozenset[str]:
        """The addresses that may answer: none where the hop is silent."""
        return frozenset() if self.silent else self.addresses


@cache
def neighbours(name: str) -> tuple[tuple[str, int], ...]:
    """Who a node has a link to, with the link's cost."""
    found = []
    for link in LINKS:
        left, right = link.ends
        if name in link.ends:
            found.append((right if name == left else left, link.cost))
    return tuple(found)


@cache
def _distances(target: str) -> dict[str, int]:
    """The cost from every node to `target` (Dijkstra); hosts carry nobody else's packets."""
    costs: dict[str, int] = {}
    queue = [(0, target)]
    while queue:
        cost, name = heapq.heappop(queue)
        if name in costs:
            continue
        costs[name] = cost
        if name != target and NODES[name].kind is not Kind.ROUTER:
            continue
        for peer, step in neighbours(name):
            heapq.heappush(queue, (cost + step, peer))
    return costs


@cache
def next_hops(name: str, target: str) -> tuple[str, ...]:
    """The neighbours of a node on its cheapest ways to `target`, in order of name."""
    costs = _distances(target)
    return tuple(
        sorted(
            peer
            for peer, step in neighbours(name)
            if costs[peer] + step == costs[name]
            and (peer == target or NODES[peer].kind is Kind.ROUTER)
        )
    )


def between(*names: str) -> frozenset[str]:
    """All nodes on the cheapest ways between any two of these, and these."""
    found = set(names)
    for target in names:
        level = set(names)
        while level := {
            peer for name in level if name != target for peer in next_hops(name, target)
        }:
            found |= level
    return frozenset(found)


def path(source: str, target: str, *, family: Family = 4) -> tuple[Hop, ...]:
    """The hops from a node to a target, the target included.

    `target` is a node, another name of the lab, or one of its addresses, whose own family counts.
    A name that a router refuses ends at that router.
    """
    name, last, refused = _locate(target, family=family)
    family = 6 if ":" in last else 4
    hops: list[Hop] = []
    level = next_hops(source, name)
    while level:
        at_end = level == (name,)
        nodes = [NODES[each] for each in level]
        addresses = frozenset(address_of(each, family=family) for each in level)
        hops.append(
            Hop(
                ttl=len(hops) + 1,
                addresses=frozenset({last}) if at_end and not refused else addresses,
                silent=all(n.dark if at_end else n.mute for n in nodes),
            )
        )
        level = tuple(sorted({peer for each in level for peer in next_hops(each, name)}))
    return tuple(hops)


def _locate(target: str, *, family: Family) -> tuple[str, str, bool]:
    """(node, address, refused) of a name or address."""
    for address, item in addresses().items():
        if target == address or (target == item.name and (":" in address) == (family == 6)):
            if isinstance(item, Node):
                return item.name, address, False
            return item.node, address, bool(item.refusal)
    raise KeyError(f"the lab has no IPv{family} target {target}")


@cache
def addresses() -> dict[str, Node | Extra]:
    """Every address of the lab's nodes and extra names, with whose it is."""
    items: tuple[Node | Extra, ...] = (*NODES.values(), *EXTRAS)
    return {
        address_in(item.zone, item.number, family=family): item
        for item in items
        for family in item.families
    }


def name_of(address: str) -> str | None:
    """What the PTR record of an address of the lab says; None where it has none."""
    item = addresses().get(address)
    return f"{item.name}.{DOMAIN}" if item and item.has_name else None


def asn_of(address: str) -> int | None:
    """The number of the autonomous system that an address of the lab belongs to, if any."""
    item = addresses().get(address)
    return item.zone.asn if item else None


def prefixes() -> dict[str, Zone]:
    """Every prefix of the lab, IPv4 and IPv6, that an autonomous system announces."""
    return {prefix: zone for zone in ZONES if zone.asn for prefix in zone.prefixes}


def addresses_among(words: Iterable[str]) -> set[str]:
    """Those of a tracer's words that are IP addresses."""
    found = set()
    for word in words:
        with suppress(ValueError):
            found.add(str(ipaddress.ip_address(word)))
    return found
