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
from colotrace_proto.measured import Measured, Options, Status, Summary, Trace
from colotrace_proto.messages import ColoName, FlowFields, Node, NodeKind, PacketType, Replies
from colotrace_proto.tally import Gathered, Known

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
    sent = [0] * max(map(len, flows))
    nodes: dict[Node, int] = {}
    lines = []
    for number, hops in enumerate(flows):
        for ttl, hop in enumerate(hops, 1):
            for ordinal in range(3):
                sent[ttl - 1] += 1
                if hop is None:
                    continue
                kind = NodeKind.TARGET if hop[0] == TARGET else NodeKind.TRANSIT
                node = nodes.setdefault(Node(ip_address(hop[0]).packed, kind, ()), len(nodes))
                rtt_ns = round((hop[1] + luck.random() / 5) * 1e6)
                lines.append((ttl, rtt_ns, node, 3 * (ttl - 1) + ordinal, number))
    columns = tuple(tuple(column) for column in zip(*lines, strict=True)) or ((),) * 5
    return Trace(
        gathered=Gathered(
            target="www.example.com",
            colo=rows.Colo(city=city, name=colo),
            target_address=ip_address(TARGET).packed,
            sent=tuple(sent),
            replies=Replies(
                columns[0], columns[1], columns[2], tuple(nodes), columns[3], columns[4]
            ),
            duration_ns=5_000_000,
            own_ends=True,
        ),
        began_ms=0,
        source_address=ip_address("198.51.100.200").packed,
        flows=tuple(
            FlowFields(
                PacketType.UDP, number=each, source_port=33_000 + each, destination_port=33_434
            )
            for each in range(len(flows))
        ),
    )


def _measured(traces: Sequence[Trace]) -> Measured:
    colos = tuple(ColoName(trace.gathered.colo.name) for trace in traces)
    addresses = {
        str(ip_address(node.address)) for trace in traces for node in trace.gathered.replies.nodes
    }
    return Measured(
        summary=Summary(
            id=f"{len(traces):032x}",
            account_id="acc",
            caller="",
            coordinator="c1",
            status=Status.COMPLETE,
            began_ms=0,
            ended_ms=1,
            targets=("www.example.com",),
            colos=colos,
            options=Options(),
            finished=len(traces),
        ),
        traces=dict(enumerate(traces)),
        known=Known({TARGET: "www.example.com"}, {each: _asn(each) for each in addresses}),
    )


def _asn(ip: str) -> str:
    first, second, third, _ = ip.split(".")
    if first == "10":
        return f"AS{64512 + 200 * int(second) + int(third)}"
    return {"192": f"AS6450{third}", "198": "AS64510", "203": "AS64511"}[first]
