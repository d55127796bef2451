"""The traced network of the lab: what is where, with which addresses.

Every name below is a network namespace with a kernel of its own routes; every line is a veth pair.

    den01 ── den1 ─────────┐             ┌── up ────┐                  ┌── web
                           c1 ── split ──┤          ├── join ── hub ── edge
    den02 ── den2 ── den3 ─┤             └── down ──┘            │     └── dark
                           │                                    mute
                           │                                     │
    sin01 ── sin1 … sin4 ── c2 ════════════════════════════════ c3 ── fra1 ── fra01
                            │
                            f1 ── f2 ── … ── f9 ── far

`split` has two equal routes to `join`, and `join` back: ECMP by addresses, protocol and ports, in
IPv6 by the flow label too. `mute` forwards but never says that a time to live ran out. The double
line costs 2, every other line 1.

Every node has one address a family, 198.18.Z.N and 2001:db8:Z::N with the same digits, where Z is
its zone. Links have no addresses of their own: a router names itself alike whatever way a packet
came, so that the true answer for every TTL is known. ROUTES say so (`src`), not chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Literal

Family = Literal[4, 6]
FAMILIES: tuple[Family, Family] = (4, 6)

OPEN_PORT, CLOSED_PORT, DROP_PORT = 443, 80, 81
"""TCP ports of `web`: accepts, answers with a reset, answers nothing."""

DOMAIN = "lab.example"


class Kind(Enum):
    """What a node does."""

    ROUTER = "router"
    COLO = "colo"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Zone:
    """One network operator: a prefix a family, and its ASN where it announces one."""

    name: str
    number: int
    asn: int | None
    organization: str = ""

    @property
    def prefixes(self) -> tuple[str, str]:
        """The IPv4 and the IPv6 prefix."""
        return f"198.18.{self.number}.0/24", f"2001:db8:{self.number}::/48"


@dataclass(frozen=True, slots=True)
class Node:
    """One namespace of the traced network."""

    name: str
    kind: Kind
    zone: Zone
    number: int
    mute: bool = False  # forwards, but sends no time-exceeded
    dark: bool = False  # takes nothing in and sends nothing
    has_name: bool = True  # has a PTR record
    city: str = ""
    location: str = ""
    families: tuple[Family, ...] = FAMILIES


@dataclass(frozen=True, slots=True)
class Link:
    """One veth pair."""

    ends: tuple[str, str]
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Extra:
    """One more name and address: of a target, or a prefix that a router refuses."""

    name: str
    node: str
    zone: Zone
    number: int
    families: tuple[Family, ...] = FAMILIES
    refusal: Literal["", "unreachable", "prohibited"] = ""
    has_name: bool = True


def address_in(zone: Zone, number: int, *, family: Family) -> str:
    """The address number `number` of a zone."""
    return f"198.18.{zone.number}.{number}" if family == 4 else f"2001:db8:{zone.number}::{number}"


DEN01 = Zone("den01", 1, 64501, "Example Denver One")
DEN02 = Zone("den02", 2, 64502, "Example Denver Two")
SIN01 = Zone("sin01", 3, 64503, "Example Singapore")
FRA01 = Zone("fra01", 4, 64504, "Example Frankfurt")
CORE = Zone("core", 10, 64505, "Example Core")
DIAMOND = Zone("diamond", 11, 64506, "Example Balanced")
CHAIN = Zone("chain", 20, 64507, "Example Long Haul")
SERVICE = Zone("service", 30, 64508, "Example Service")
MANY = Zone("many", 40, 64509, "Example Hosting")
UNLISTED = Zone("unlisted", 99, None)

ZONES = (DEN01, DEN02, SIN01, FRA01, CORE, DIAMOND, CHAIN, SERVICE, MANY, UNLISTED)

MANY_COUNT = 100
"""Addresses of zone `many`, all on `web`: for many traces to different targets."""


def _router(name: str, zone: Zone, number: int, *, mute: bool = False, named: bool = True) -> Node:
    return Node(name, Kind.ROUTER, zone, number, mute=mute, has_name=named)


NODES: dict[str, Node] = {
    node.name: node
    for node in (
        Node("den01", Kind.COLO, DEN01, 100, city="Denver, CO, US", location="39.74,-104.99"),
        Node("den02", Kind.COLO, DEN02, 100, city="Denver, CO, US", location="39.74,-104.99"),
        Node("sin01", Kind.COLO, SIN01, 100, city="Singapore, SG", location="1.35,103.82"),
        Node("fra01", Kind.COLO, FRA01, 100, city="Frankfurt, DE", location="50.11,8.68"),
        _router("den1", DEN01, 1),
        _router("den2", DEN02, 1),
        _router("den3", DEN02, 2),
        *(_router(f"sin{i}", SIN01, i) for i in range(1, 5)),
        _router("fra1", FRA01, 1),
        _router("c1", CORE, 1),
        _router("c2", CORE, 2),
        _router("c3", CORE, 3),
        _router("hub", CORE, 4),
        _router("split", DIAMOND, 1, named=False),
        _router("up", DIAMOND, 2),
        _router("down", DIAMOND, 3),
        _router("join", UNLISTED, 1),
        _router("mute", UNLISTED, 2, mute=True),
        *(_router(f"f{i}", CHAIN, i) for i in range(1, 10) if i != 7),
        _router("f7", UNLISTED, 7, named=False),
        _router("edge", SERVICE, 1),
        Node("web", Kind.TARGET, SERVICE, 80),
        Node("dark", Kind.TARGET, SERVICE, 90, dark=True),
        Node("far", Kind.TARGET, CHAIN, 100),
    )
}

EXTRAS: tuple[Extra, ...] = (
    Extra("v4only", "web", SERVICE, 4, families=(4,)),
    Extra("v6only", "web", SERVICE, 6, families=(6,)),
    # Its PTR is asked of a server that never answers.
    Extra("lame", "web", SERVICE, 200, has_name=False),
    # `edge` takes neither: "!H" for a host that is not there, "!X" for one that it may not reach.
    Extra("unreachable", "edge", SERVICE, 51, refusal="unreachable"),
    Extra("prohibited", "edge", SERVICE, 52, refusal="prohibited"),
    *(Extra(f"many{i}", "web", MANY, i, has_name=False) for i in range(1, MANY_COUNT + 1)),
)


def _chain(*names: str) -> list[Link]:
    return [Link(pair) for pair in pairwise(names)]


LINKS: tuple[Link, ...] = (
    *_chain("den01", "den1", "c1"),
    *_chain("den02", "den2", "den3", "c1"),
    *_chain("sin01", "sin1", "sin2", "sin3", "sin4", "c2"),
    *_chain("fra01", "fra1", "c3", "mute", "hub"),
    *_chain("c1", "split", "up", "join", "hub", "edge", "web"),
    *_chain("split", "down", "join"),
    *_chain("edge", "dark"),
    *_chain("c1", "c2"),
    Link(("c2", "c3"), cost=2),
    *_chain("c2", *(f"f{i}" for i in range(1, 10)), "far"),
)


@dataclass(frozen=True, slots=True)
class Colo:
    """A place that has an agent's host."""

    name: str
    city: str
    location: str


COLOS: tuple[Colo, ...] = tuple(
    Colo(node.name, node.city, node.location) for node in NODES.values() if node.kind is Kind.COLO
)


def address_of(name: str, *, family: Family) -> str:
    """The address of a node or of an extra name; KeyError where it has none of that family."""
    if name in NODES:
        node = NODES[name]
        return address_in(node.zone, node.number, family=family)
    for extra in EXTRAS:
        if extra.name == name and family in extra.families:
            return address_in(extra.zone, extra.number, family=family)
    raise KeyError(f"{name} has no IPv{family} address in the lab")
