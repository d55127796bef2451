"""What a case expects, with every default filled in, and how an answer is held against it."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenario.addresses import Addresses, assign
from scenario.schema import Behaviour, Case, ExpectHop, ExpectNode, Family, Span

NO_RESPONSE = "NO RESPONSE"
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class NodeExpectation:
    """One node: any one of these addresses, so many packets, RTTs (ms) within these bounds."""

    addresses: frozenset[str]
    packets: Range
    labels: tuple[str, ...]
    rtt_ms: Range


@dataclass(frozen=True, slots=True)
class HopExpectation:
    """One TTL. No nodes: nothing answered."""

    ttl: int
    nodes: tuple[NodeExpectation, ...]
    sent: Range
    lost: Range


@dataclass(frozen=True, slots=True)
class RowExpectation:
    """One colo's row, and what is seen beside it."""

    target: str
    reached: bool
    error_code: int
    hops: tuple[HopExpectation, ...]
    duration_ms: Range | None
    counters: dict[str, Range]
    beyond_target: Range | None
    target_ttl: int

    def faults(self, row: Mapping[str, Any], *, slack_ms: float) -> list[str]:
        """Return what is wrong about a row in the API's shape; times may be `slack_ms` longer."""
        return list(_row_faults(self, row, slack_ms=slack_ms))

    def counter_faults(self, counted: Mapping[str, int]) -> list[str]:
        """Return which counters of the tracer (`schema.Expect.counters`) are wrong."""
        return [
            f"counter {name}: {counted.get(name, 0)}, expected {_text(span)}"
            for name, span in self.counters.items()
            if not _within(counted.get(name, 0), span)
        ]

    def beyond_faults(self, ttls: Iterable[int]) -> list[str]:
        """Return what is wrong about the TTLs of the probes that the last trace sent."""
        if self.beyond_target is None:
            return []
        each = Counter(ttl for ttl in ttls if ttl > self.target_ttl)
        faults = [f"{n} probes at TTL {ttl}, beyond the target" for ttl, n in each.items() if n > 1]
        if not _within(each.total(), self.beyond_target):
            wanted = _text(self.beyond_target)
            faults.append(f"{each.total()} probes beyond the target, expected {wanted}")
        return faults


def expected(case: Case, *, family: Family) -> RowExpectation:
    """Return what a correct trace of the case says in one family."""
    addresses = assign(case, family=family)
    beyond = case.expect.beyond_target
    return RowExpectation(
        target=addresses.target,
        reached=case.expect.reached,
        error_code=case.expect.error_code,
        hops=tuple(
            _hop(case, hop, ttl=ttl, addresses=addresses, family=family)
            for ttl, hop in enumerate(case.expect.hops, start=1)
        ),
        duration_ms=case.expect.duration_ms,
        counters={name: _span(span) for name, span in case.expect.counters.items()},
        beyond_target=None if beyond is None else _span(beyond),
        target_ttl=case.target_ttl,
    )


def _hop(
    case: Case, hop: str | ExpectHop, *, ttl: int, addresses: Addresses, family: Family
) -> HopExpectation:
    if isinstance(hop, str):
        nodes = () if hop == "-" else (ExpectNode(source=hop),)
        hop = ExpectHop(nodes=nodes)
    traces = max(len(each.protocols) for each in case.trace.packet_types)
    each_ttl = case.trace.packets_per_ttl * traces
    sent = _span(hop.sent if hop.sent is not None else each_ttl)
    expected_nodes = tuple(
        _node(case, node, sent=sent, addresses=addresses, family=family) for node in hop.nodes
    )
    answered = [node.packets for node in expected_nodes]
    least = sent[0] - sum(packets[1] for packets in answered)
    most = sent[1] - sum(packets[0] for packets in answered)
    lost = _span(hop.lost) if hop.lost is not None else (max(least, 0), most)
    return HopExpectation(ttl=ttl, nodes=expected_nodes, sent=sent, lost=lost)


def _node(
    case: Case, node: ExpectNode, *, sent: Range, addresses: Addresses, family: Family
) -> NodeExpectation:
    labels = node.labels
    if family == 6 and node.labels6 is not None:
        labels = node.labels6
    return NodeExpectation(
        addresses=frozenset(addresses.named(node.source)),
        packets=_span(node.packets) if node.packets is not None else sent,
        labels=labels,
        rtt_ms=node.rtt_ms or _rtts(case, _behaviour(case, node.source)),
    )


def _behaviour(case: Case, name: str) -> Behaviour:
    """Return how the named node answers, for its RTTs."""
    ttl = name.partition(".")[0]
    if not ttl.isdigit() or int(ttl) == case.target_ttl:
        return case.target
    place = int(ttl)
    if place < case.target_ttl:
        return case.hops[place - 1]
    return case.after_target[place - case.target_ttl - 1]


def _rtts(case: Case, behaviour: Behaviour) -> Range:
    wait_ms = case.trace.wait_time * 1000.0
    later = (delay for delay in behaviour.delays_ms.values() if behaviour.rtt_ms + delay < wait_ms)
    least = behaviour.rtt_ms + min(behaviour.jitter_ms)
    return least, behaviour.rtt_ms + max(behaviour.jitter_ms) + max(later, default=0.0)


def _span(span: Span) -> Range:
    return (span, span) if isinstance(span, int) else (span[0], span[1])


def _row_faults(
    wanted: RowExpectation, row: Mapping[str, Any], *, slack_ms: float
) -> Iterator[str]:
    code = f"Could not gather traceroute data: Code {wanted.error_code}"
    error = code if wanted.error_code else ""
    if row["error"] != error:
        yield f"error {row['error']!r}, expected {error!r}"
    if wanted.duration_ms:
        span = (wanted.duration_ms[0], wanted.duration_ms[1] + slack_ms)
        if not _within(row["traceroute_time_ms"], span):
            yield f"took {row['traceroute_time_ms']} ms, expected {_text(span)}"
    if wanted.error_code != 3:
        yield from _summary_faults(wanted, row["target_summary"])
    ttls = [hop["packets_ttl"] for hop in row["hops"]]
    if ttls != [hop.ttl for hop in wanted.hops]:
        yield f"hops {ttls}, expected 1 to {len(wanted.hops)}: {_path(row['hops'])}"
    for hop_wanted, hop in zip(wanted.hops, row["hops"], strict=False):
        for fault in _hop_faults(hop_wanted, hop, slack_ms=slack_ms):
            yield f"TTL {hop_wanted.ttl}: {fault}"


def _summary_faults(wanted: RowExpectation, summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["ip"] != wanted.target:
        yield f"target {summary['ip']}, expected {wanted.target}"
    if (summary["packet_count"] > 0) != wanted.reached:
        yield f"{summary['packet_count']} answers of the target, reached = {wanted.reached}"


def _hop_faults(
    wanted: HopExpectation, hop: Mapping[str, Any], *, slack_ms: float
) -> Iterator[str]:
    for name, span in (("packets_sent", wanted.sent), ("packets_lost", wanted.lost)):
        if not _within(hop[name], span):
            yield f"{name} {hop[name]}, expected {_text(span)}"
    nodes: Sequence[Mapping[str, Any]] = hop["nodes"]
    if not wanted.nodes:
        silent = {"asn": "", "ip": "", "name": NO_RESPONSE, "packet_count": 0}
        if list(nodes) != [silent]:
            yield f"expected no answer, got {nodes}"
        return
    if len(nodes) != len(wanted.nodes):
        yield f"{len(nodes)} nodes, expected {len(wanted.nodes)}: {_path([hop])}"
    for node_wanted, node in zip(wanted.nodes, nodes, strict=False):
        yield from _node_faults(node_wanted, node, slack_ms=slack_ms)


def _node_faults(
    wanted: NodeExpectation, node: Mapping[str, Any], *, slack_ms: float
) -> Iterator[str]:
    if node["ip"] not in wanted.addresses:
        yield f"node {node['ip'] or node['name']}, expected {' or '.join(sorted(wanted.addresses))}"
        return
    if not _within(node["packet_count"], wanted.packets):
        yield f"packet_count {node['packet_count']}, expected {_text(wanted.packets)}"
    if tuple(node.get("labels", ())) != wanted.labels:
        yield f"labels {node.get('labels')}, expected {list(wanted.labels)}"
    # Never quicker than the network: only rounding may be below.
    bounds = (wanted.rtt_ms[0] - 0.001, wanted.rtt_ms[1] + 0.001 + slack_ms)
    for key in ("min_rtt_ms", "mean_rtt_ms", "max_rtt_ms"):
        if not _within(node[key], bounds):
            yield f"{key} {node[key]}, expected {_text(bounds)}"


def _path(hops: Sequence[Mapping[str, Any]]) -> str:
    nodes = itertools.chain.from_iterable(hop["nodes"] for hop in hops)
    return " ".join(f"{node['ip'] or '*'}({node['packet_count']})" for node in nodes)


def _within(value: float, span: Range) -> bool:
    return span[0] <= value <= span[1]


def _text(span: Range) -> str:
    return f"{span[0]:g}" if span[0] == span[1] else f"{span[0]:g} to {span[1]:g}"
