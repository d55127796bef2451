"""Measurements that no lab has: 300 colos, 30 hops, eight nodes at a hop.

The answers are computed by the analysis itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import ip_address

import msgspec
from colotrace_analysis import diff
from colotrace_analysis.graph import By, work
from colotrace_proto import rows
from colotrace_proto.measured import Measured, Trace
from colotrace_proto.messages import Node, NodeKind
from colotrace_proto.tally import Known
from recorded import Probe, complete, summary, trace

TARGET = "203.0.113.80"
Hop = tuple[str, float] | None
"""An address and its RTT in milliseconds; None is silence."""
_CITIES = ("Denver, CO, US", "Frankfurt, DE", "Singapore, SG", "São Paulo, BR", "Tokyo, JP")


def answer(measured: Measured, by: By) -> dict[str, object]:
    """`result` of …/graph."""
    built: dict[str, object] = msgspec.to_builtins(work(measured, by=by, with_fate=True).finish())
    return built


def fleet_of(colos: int, *, moved: bool = False) -> Measured:
    """Colos in access networks of their own or shared ones, five carriers, of which one is slow.
    `moved`: the colos of another carrier have gone over to it."""
    luck = random.Random(colos)
    traces = []
    for number in range(colos):
        access = 100 + (number if number % 3 else number // 12)
        carrier = access % 5 + 1
        if moved and carrier == 2:
            carrier = 3
        far = 2.0 + number % 37
        slow = 60.0 if carrier == 3 else 0.0
        path: list[Hop] = [
            (f"10.{access // 200}.{access % 200}.1", 0.3),
            (f"10.{access // 200}.{access % 200}.{2 + number % 2}", 0.6),
            (f"192.0.{carrier}.{1 + number % 8}", far),
            None if carrier == 4 else (f"192.0.{carrier}.100", far + 3),
            (f"192.0.{carrier}.101", far + 4 + slow),
            ("198.51.100.1", far + 6 + slow),
            ("198.51.100.2", far + 6.5 + slow),
            (TARGET, far + 7 + slow),
        ]
        if number % 50 == 49:
            path[5:] = [None] * 4
        traces.append(_trace(f"c{number:03}", _CITIES[number % 5], [path], luck))
    return _measured(traces)


def difference(before: Measured, after: Measured) -> dict[str, object]:
    """`result` of …/diff/…."""
    built: dict[str, object] = msgspec.to_builtins(diff.work(before, after).finish())
    return built


def long_path(hops: int) -> Measured:
    """One colo, with a path of so many hops; some are silent."""
    path: list[Hop] = [
        None
        if ttl in (7, 8, 19)
        else (f"10.{ttl // 4}.0.{ttl}", 1.5 * ttl + (80 if ttl > 11 else 0))
        for ttl in range(1, hops)
    ]
    path.append((TARGET, 1.5 * hops + 81))
    return _measured([_trace("den01", _CITIES[0], [path], random.Random(1))])


def wide_hop(nodes: int) -> Measured:
    """Two colos whose flows part to so many nodes, and meet again."""
    traces = []
    for number, colo in enumerate(("den01", "sin01")):
        flows: list[Sequence[Hop]] = [
            [
                (f"10.{number}.0.1", 0.4),
                (f"192.0.1.{1 + branch}", 6 + 3 * branch),
                ("198.51.100.1", 30),
                (TARGET, 31),
            ]
            for branch in range(nodes)
        ]
        traces.append(_trace(colo, _CITIES[2 * number], flows, random.Random(number)))
    return _measured(traces)


def _trace(colo: str, city: str, flows: Sequence[Sequence[Hop]], luck: random.Random) -> Trace:
    """Three probes a hop, with up to 0.2 ms more than its RTT."""
    return trace(
        [[[_probe(hop, luck) for _ in range(3)] for hop in hops] for hops in flows],
        target_address=ip_address(TARGET).packed,
        colo=rows.Colo(city=city, name=colo),
        source_address=ip_address("198.51.100.200").packed,
        own_ends=True,
    )


def _probe(hop: Hop, luck: random.Random) -> Probe:
    if hop is None:
        return None
    ip, rtt_ms = hop
    kind = NodeKind.TARGET if ip == TARGET else NodeKind.TRANSIT
    return Node(ip_address(ip).packed, kind), rtt_ms + luck.random() / 5


def _measured(traces: Sequence[Trace]) -> Measured:
    colos = [each.gathered.colo.name for each in traces]
    addresses = {
        str(ip_address(node.address)) for each in traces for node in each.gathered.replies.nodes
    }
    begun = summary(id=f"{len(traces):032x}", colos=colos, began_ms=0)
    return Measured(
        summary=complete(begun, ended_ms=1),
        traces=dict(enumerate(traces)),
        known=Known({TARGET: "www.example.com"}, {each: _asn(each) for each in addresses}),
    )


def _asn(ip: str) -> str:
    first, second, third, _ = ip.split(".")
    if first == "10":
        return f"AS{64512 + 200 * int(second) + int(third)}"
    return {"192": f"AS6450{third}", "198": "AS64510", "203": "AS64511"}[first]
