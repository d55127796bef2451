"""The paths that a case's network has, and how a multipath trace is held against them.

The truth is counted over all that its balancers can choose, not over what the world did: no link
that it does not have may be claimed, whoever asks how often.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colotrace_proto.notices import Notice, NoticeCode

from scenario.addresses import Addresses, assign
from scenario.expectation import NO_RESPONSE, NodeExpectation, expected
from scenario.schema import Case, ExpectHop, ExpectLink, ExpectNotice, Family, Span

Edge = tuple[int, str, str]
"""TTL, and the addresses at it and at the next one."""

TARGET = (0, 0)
"""Stands for the target among places."""


def paths(case: Case) -> set[tuple[tuple[int, int], ...]]:
    """All ways to the target, as (place of the hop from 1, router from 0) by TTL."""
    free = [
        place
        for place, hop in enumerate(case.hops, start=1)
        if hop.width > 1 and (hop.follows is None or case.hops[hop.follows - 1].width == 1)
    ]
    widths = [range(case.hops[place - 1].width) for place in free]
    found = set()
    for choice in itertools.product(*widths):
        chosen = dict(zip(free, choice, strict=True))
        way = []
        for place, hop in enumerate(case.hops, start=1):
            chosen.setdefault(place, chosen[hop.follows] % hop.width if hop.follows else 0)
            if not (hop.follows and hop.branch and chosen[hop.follows] != hop.branch - 1):
                way.append((place, chosen[place]))
        found.add((*way, TARGET))
    return found


def seen_at(case: Case, *, family: Family) -> list[set[str]]:
    """Who answers at TTL 1, 2, 3 …"""
    addresses = assign(case, family=family)
    ways = [_answering(case, way, addresses) for way in paths(case)]
    return [
        {address for address in at_ttl if address is not None}
        for at_ttl in itertools.zip_longest(*ways)
    ]


def edges(case: Case, *, family: Family) -> set[Edge]:
    """All links between routers that answer."""
    addresses = assign(case, family=family)
    return {
        (ttl, near, far)
        for way in paths(case)
        for ttl, (near, far) in enumerate(itertools.pairwise(_answering(case, way, addresses)), 1)
        if near is not None and far is not None and near != far
    }


def _answering(
    case: Case, way: Sequence[tuple[int, int]], addresses: Addresses
) -> list[str | None]:
    """The addresses on a way, None where nobody answers."""
    found: list[str | None] = []
    for place, node in way:
        if (place, node) == TARGET:
            found.append(None if case.target.silent else addresses.target)
        else:
            hop = case.hops[place - 1]
            silent = hop.silent or node + 1 in hop.silent_nodes
            found.append(None if silent else addresses.routers[place][node])
    return found


def named(link: ExpectLink, addresses: Addresses) -> set[Edge]:
    """The links that one entry of a scenario file stands for."""
    near, far = addresses.named(link.source), addresses.named(link.to)
    pairs = zip(near, far, strict=True) if len(near) == len(far) else itertools.product(near, far)
    return {(link.ttl, *ends) for ends in pairs}


@dataclass(frozen=True, slots=True)
class PathsExpectation:
    """What a multipath trace's row is to show."""

    case: Case
    target: str
    hops: tuple[tuple[NodeExpectation, ...], ...]
    truth: set[Edge]
    # With how many flows each.
    links: dict[Edge, tuple[float, float]]

    def false_links(self, row: Mapping[str, Any]) -> list[str]:
        """Return which links the network does not have."""
        return [f"false link {edge}" for edge in sorted(_edges(row) - self.truth)]

    def faults(
        self, row: Mapping[str, Any], notices: Sequence[Notice], *, slack_ms: float = 0
    ) -> list[str]:
        """Return what is wrong about a row that had its chance to see everything."""
        return [
            *self.false_links(row),
            *self._shape(row, slack_ms=slack_ms),
            *self._complete(row),
            *self._noticed(notices),
        ]

    def faults_of_chance(self, row: Mapping[str, Any], *, slack_ms: float) -> list[str]:
        """Return what is wrong about a row whose flows nobody chose: it may miss a branch."""
        return [*self.false_links(row), *self._shape(row, slack_ms=slack_ms)]

    def _shape(self, row: Mapping[str, Any], *, slack_ms: float) -> Iterator[str]:
        if row["error"]:
            yield row["error"]
        if row["target_summary"]["ip"] != self.target:
            yield f"target {row['target_summary']['ip']}"
        if (row["target_summary"]["packet_count"] > 0) != self.case.expect.reached:
            yield f"{row['target_summary']['packet_count']} answers of the target"
        for hop, nodes in zip(row["hops"], self.hops, strict=False):
            by_name = {(ip, node.labels): node for node in nodes for ip in node.addresses}
            for node in hop["nodes"]:
                if node["name"] == NO_RESPONSE:
                    continue
                known = by_name.get((node["ip"], tuple(node.get("labels", ()))))
                if known is None:
                    yield f"TTL {hop['packets_ttl']}: {node['ip']} {node.get('labels', '')}"
                    continue
                low, high = known.rtt_ms[0] - 0.001, known.rtt_ms[1] + 0.001 + slack_ms
                if not low <= node["min_rtt_ms"] <= node["max_rtt_ms"] <= high:
                    yield f"{node['ip']}: {node['min_rtt_ms']} to {node['max_rtt_ms']} ms"

    def _complete(self, row: Mapping[str, Any]) -> Iterator[str]:
        if len(row["hops"]) != len(self.hops):
            yield f"{len(row['hops'])} hops, expected {len(self.hops)}"
        wanted_hops = zip(row["hops"], self.hops, self.case.expect.hops, strict=False)
        for hop, nodes, wanted in wanted_hops:
            found = {(node["ip"], tuple(node.get("labels", ()))) for node in hop["nodes"]} - {
                ("", ())
            }
            missing = {(ip, node.labels) for node in nodes for ip in node.addresses} - found
            if missing:
                yield f"TTL {hop['packets_ttl']}: {sorted(missing)} not seen"
            silent = not nodes
            lost = _span(wanted.lost if isinstance(wanted, ExpectHop) else None)
            if not silent and not lost[0] <= hop["packets_lost"] <= lost[1]:
                yield f"TTL {hop['packets_ttl']}: {hop['packets_lost']} lost, expected {lost}"
        found_edges = _edges(row)
        yield from (f"missing link {edge}" for edge in sorted(self.links.keys() - found_edges))
        unwanted = found_edges & self.truth - self.links.keys()
        yield from (f"link {edge}, which cannot be known" for edge in sorted(unwanted))
        for link in row["links"]:
            low, high = self.links.get(_edge(link), (0, 1e9))
            if not low <= link["flows"] <= high:
                yield f"{link}: {low} to {high} flows expected"

    def _noticed(self, notices: Sequence[Notice]) -> Iterator[str]:
        wanted = self.case.expect.notices
        for each in wanted:
            if not any(_is(notice, each) for notice in notices):
                yield f"no {each}"
        for notice in notices:
            if not any(_is(notice, each) for each in wanted):
                yield f"unexpected {notice}"


def _is(notice: Notice, wanted: ExpectNotice) -> bool:
    return notice.code == NoticeCode[wanted.code] and wanted.ttls in (None, notice.ttls)


def expected_paths(case: Case, *, family: Family) -> PathsExpectation:
    """Return what a multipath trace of the case is to show in one family."""
    addresses = assign(case, family=family)
    wanted = expected(case, family=family)
    truth = edges(case, family=family)
    any_flows = (1.0, 1e9)
    links = dict.fromkeys(truth, any_flows)
    if case.expect.links is not None:
        links = {
            edge: any_flows if link.flows is None else _span(link.flows)
            for link in case.expect.links
            for edge in named(link, addresses)
        }
    return PathsExpectation(
        case=case,
        target=wanted.target,
        hops=tuple(hop.nodes for hop in wanted.hops),
        truth=truth,
        links=links,
    )


def _edges(row: Mapping[str, Any]) -> set[Edge]:
    return {_edge(link) for link in row["links"]}


def _edge(link: Mapping[str, Any]) -> Edge:
    return link["ttl"], link["from"], link["to"]


def _span(span: Span | None) -> tuple[float, float]:
    """A count, none lost where nothing is said."""
    if span is None:
        return 0, 0
    return (span, span) if isinstance(span, int) else span
