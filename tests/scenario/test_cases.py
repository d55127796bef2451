"""Every case agrees with its own world: an omniscient tracer gets the row that the case expects.

It sends one probe after another and takes what the world returns for it as that probe's answer, so
it needs no identity and is fooled by nothing; what it cannot show is the tracer's own timing.
"""

import ipaddress
import itertools
from collections import defaultdict
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import pytest

from scenario.expectation import RowExpectation, expected
from scenario.kinds import ProbeType, Protocol
from scenario.load import Run, runs
from scenario.scapy_judge import dissected, probe
from scenario.world import World

_MS = 1_000_000
_LABELS4 = {0: "!N", 1: "!H", 2: "!P", 5: "!S", 13: "!X", 14: "!V", 15: "!C"}
_LABELS6 = {0: "!N", 1: "!X", 2: "!H", 3: "!H"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One probe's answer."""

    address: str
    rtt_ms: float
    label: str | None
    reached: bool
    # An end of the path that is not the target's.
    refused: bool
    # Which of several traces it belongs to.
    trace: str | None = None


def verdict(data: bytes, *, rtt_ms: float, target: str, routers: frozenset[str]) -> Reply:
    """Say what an answer means, by its type and code and by who is a router on the way."""
    four = data[0] >> 4 == 4
    number, at = (data[9], 20) if four else (data[6], 40)
    kind, code = data[at], data[at + 1]
    address = str(ipaddress.ip_address(data[12:16] if four else data[8:24]))
    label, reached, refused = None, False, False
    if number not in {1, 58} or kind == (0 if four else 129):
        reached = True
    elif (kind, code) == ((3, 2) if four else (4, 1)):
        # Only the target looks at what a packet carries.
        reached, label = address == target, None if address == target else "!P"
        refused = not reached
    elif kind != (11 if four else 3):
        if (kind, code) == ((3, 4) if four else (2, 0)):
            label = f"!F-{int.from_bytes(data[at + 4 : at + 8])}"
        elif (kind, code) != ((3, 3) if four else (1, 4)):
            label = (_LABELS4 if four else _LABELS6).get(code, f"!<{code}>")
        elif address in routers and address != target:
            label = f"!<{code}>"
        reached = label is None or address == target
        refused = not reached
    return Reply(address, rtt_ms, label, reached=reached, refused=refused)


def omniscient(run: Run) -> dict[str, Any]:
    """Trace the case; return its row in the API's shape."""
    case, trace = run.case, run.case.trace
    world = World(case, family=run.family)
    sent: dict[int, int] = defaultdict(int)
    replies: dict[int, list[Reply]] = defaultdict(list)
    judged: set[tuple[int, Protocol, int, bytes]] = set()
    protocols = run.packet_type.protocols
    addresses = world.addresses
    routers = frozenset(who for at_ttl in addresses.routers.values() for who in at_ttl)
    # A TTL's probes after each other, as a polite tracer sends them.
    order = itertools.product(range(1, trace.max_ttl + 1), range(trace.packets_per_ttl), protocols)
    for place, (ttl, _, protocol) in enumerate(order):
        port = trace.port or (80 if protocol is Protocol.TCP else 33434)
        # Paris: an echo request keeps its checksum, so here its sequence.
        sequence = 1 + place if protocol is Protocol.TCP else 1
        packet = probe(world, protocol=protocol, ttl=ttl, port=port, sequence=sequence)
        if world.send_error(packet) is not None:
            continue
        sent[ttl] += 1
        now_ns = place * _MS // 10
        deliveries = world.deliver(packet, now_ns)
        if any(hop.forge is not None for hop in (*case.hops, case.target)) and len(deliveries) == 2:
            deliveries = deliveries[1:]
        if deliveries:
            rtt_ms = (deliveries[0].at_ns - now_ns) / _MS
            if rtt_ms <= trace.wait_time * 1000:
                data = deliveries[0].packet
                # Source, and type and code of ICMP. Answers that are alike so far are looked at
                # once: scapy takes its time.
                alike = data[12:16] + data[20:22] if data[0] >> 4 == 4 else data[8:24] + data[40:42]
                if (kind := (ttl, protocol, len(data), alike)) not in judged:
                    dissected(deliveries[0])
                    judged.add(kind)
                reply = verdict(data, rtt_ms=rtt_ms, target=addresses.target, routers=routers)
                if len(protocols) > 1:
                    reply = replace(reply, trace=protocol.upper())
                replies[ttl].append(reply)
    assert set(world.fates) <= {"answered", "silent", "lost", "limited"}
    return _row(world, sent=sent, replies=replies)


def _row(world: World, *, sent: dict[int, int], replies: dict[int, list[Reply]]) -> dict[str, Any]:
    answered = [(ttl, reply) for ttl in replies for reply in replies[ttl]]
    ends = [ttl for ttl, reply in answered if reply.reached]
    passed = [ttl for ttl, reply in answered if not reply.refused]
    refusals = [ttl for ttl, reply in answered if reply.refused]
    # A refusal ends the path where nobody answers beyond it.
    ends = ends or [ttl for ttl in refusals if ttl >= max(passed, default=0)]
    last = min(ends, default=max(sent, default=0))
    reached = [reply for reply in replies.get(last, ()) if reply.reached]
    hops = []
    for ttl in range(1, last + 1):
        nodes = _nodes(replies[ttl])
        lost = sent[ttl] - len(replies[ttl])
        hops.append(
            {"packets_ttl": ttl, "packets_sent": sent[ttl], "packets_lost": lost, "nodes": nodes}
        )
    return {
        "error": "" if sent else "Could not gather traceroute data: Code 4",
        "hops": hops,
        "target_summary": {"ip": world.addresses.target, "packet_count": len(reached)},
    }


def _nodes(replies: list[Reply]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str | None], list[Reply]] = defaultdict(list)
    for reply in replies:
        groups[reply.address, reply.trace].append(reply)
    if not groups:
        return [{"asn": "", "ip": "", "name": "NO RESPONSE", "packet_count": 0}]
    nodes = []
    for (address, trace), group in groups.items():
        marks = sorted({reply.label for reply in group if reply.label is not None})
        rtts = [reply.rtt_ms for reply in group]
        nodes.append(
            {
                "ip": address,
                "packet_count": len(group),
                "labels": marks if trace is None else [trace, *marks],
                "min_rtt_ms": min(rtts),
                "mean_rtt_ms": fmean(rtts),
                "max_rtt_ms": max(rtts),
            }
        )
    return sorted(
        nodes,
        key=lambda node: (-int(str(node["packet_count"])), ipaddress.ip_address(str(node["ip"]))),
    )


def marks_alone(wanted: RowExpectation) -> RowExpectation:
    """Leave out the labels that tell of extensions and of altered quotes: the tracer's to show."""
    kept = set(ProbeType.GRE_ICMP.upper().split("+"))
    hops = []
    for hop in wanted.hops:
        nodes = [
            replace(node, labels=tuple(w for w in node.labels if w[0] == "!" or w in kept))
            for node in hop.nodes
        ]
        hops.append(replace(hop, nodes=tuple(nodes)))
    return replace(wanted, hops=tuple(hops))


@pytest.mark.parametrize(
    "run",
    [run for run in runs() if not (run.case.expect.less_than_all or run.case.trace.multipath)],
    ids=str,
)
def test_expectation_of_a_case_agrees_with_its_world(run: Run) -> None:
    """It expects nothing that no tracer could see."""
    row = omniscient(run)
    # How long it takes is the tracer's to show.
    wanted = marks_alone(expected(run.case, family=run.family))
    row["traceroute_time_ms"] = sum(wanted.duration_ms or (0, 0)) / 2
    assert wanted.faults(row, slack_ms=0) == []
