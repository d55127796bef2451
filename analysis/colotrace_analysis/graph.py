"""The paths of a measurement, merged over its colos.

A node is an address. A silent hop is a node by its neighbours: the addresses before and after it on
the path, and its place between them. Silence up to the end of a path that did not reach its target
is one node. Each path begins at its colo.

Edges connect what one flow met at neighbouring TTLs; different flows are never connected. `certain`
is False for an edge if a flow met several addresses at one of its ends (see `paths`): no packet is
known to have passed it. The paths themselves are listed too, so that one can be highlighted. A way
through the graph that is not listed was not seen, even if all its edges exist.

Groups: `By.ASN` makes one node of an AS's addresses, with the silent hops between them. Targets,
and addresses without an ASN, remain. `By.CITY` makes one node of a city's colos. Routers remain,
since nothing that is recorded tells where they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

import msgspec
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Measured, Trace
from colotrace_proto.tally import Known
from msgspec.structs import replace

from .fate import Fate
from .fate import steps as fate_steps
from .merging import By, Key, Kind, MergedNode, Merging, key_text, median_ms
from .work import ROW_LINES, Pace, Steps, Work, in_order

_PIECE = 200
"""Nodes, edges or paths that are built in one step."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node. `id` is its place in `Graph.nodes`; `label` is a short text to draw.

    `ip`, `name` and `asn` are empty where they don't apply or are not known; `name` is the host
    name, the colo's name, or the city. `targets` are the targets, as asked for, whose address this
    is. `addresses` counts what a group consists of. `min_ttl` and `max_ttl` are 0 for colos.

    `packet_count` counts answers; the RTTs are over all of them, and so over all colos, or None
    without an answer. `packets_sent` and `packets_lost` are those of the hops at which nothing else
    answered: with several addresses at a hop, nobody knows whose the lost ones were.

    `added_ms`: by how much the RTT rises between a group's first and last hop on a path (see
    `Edge`).
    """

    id: int
    kind: Kind
    label: str
    ip: str = ""
    name: str = ""
    asn: str = ""
    targets: list[str]
    addresses: int
    colos: list[str]
    flows: int
    min_ttl: int
    max_ttl: int
    packet_count: int
    packets_sent: int
    packets_lost: int
    min_rtt_ms: float | None
    mean_rtt_ms: float | None
    max_rtt_ms: float | None
    added_ms: float | None = None


class Edge(msgspec.Struct, frozen=True, kw_only=True, rename={"near": "from", "far": "to"}):
    """A link between nodes, by their ids. `share` is the part of the flows that leave `near` which
    take this edge. For `certain` see the module.

    `added_ms`: by how much the least RTT of a row rises from `near` to `far`, the median of the
    rows that took the edge. After silence, it rises from the last answer before. None if `far` did
    not answer, or if several addresses at a hop leave it open. Routers may answer late, and replies
    may take other ways back: it can be less than 0, and more than packets need.
    """

    near: int
    far: int
    colos: list[str]
    flows: int
    share: float
    certain: bool
    added_ms: float | None = None


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A path that flows took. `nodes` are ids in order from the colo; a step has several if one
    flow met several addresses there. `colos` has several names only if colos are grouped."""

    target: str
    nodes: list[list[int]]
    colos: list[str]
    flows: int
    reached: bool


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The merged paths. `rows` counts those that are drawn; `without_paths` are the colos of rows
    that have none. Nodes are in the order of their distance, then of their addresses. `fate` is
    what bad rows share, None if it was not asked for. `cut` counts the flows whose path is not in
    `paths`, since the graph is too large (see `merging`); `unmerged` counts those of them that are
    not in the nodes and edges either."""

    by: By
    targets: list[str]
    rows: int
    without_paths: list[str]
    nodes: list[Node]
    edges: list[Edge]
    paths: list[Way]
    cut: int = 0
    unmerged: int = 0
    fate: Fate | None = None


def graph(measured: Measured, *, target: str | None = None, by: By = By.ADDRESS) -> Graph:
    """The graph of one target, or of all. Raises LookupError if there is no such target."""
    return work(measured, target=target, by=by).finish()


def work(
    measured: Measured,
    *,
    target: str | None = None,
    by: By = By.ADDRESS,
    with_fate: bool = False,
) -> Work[Graph]:
    """The same in steps; `with_fate` adds `Graph.fate`."""
    targets = measured.summary.targets
    if target is not None and target not in targets:
        raise LookupError(target)
    chosen = list(dict.fromkeys(targets if target is None else [target]))
    return Work(_steps(measured, chosen, by, with_fate=with_fate))


def _steps(measured: Measured, targets: Sequence[str], by: By, *, with_fate: bool) -> Steps[Graph]:
    merging = Merging(measured.known, by)
    pace = Pace()
    for trace in _rows(measured, targets):
        yield from merging.add(trace)
        if pace.full(len(trace.gathered.replies.ttl) + ROW_LINES):
            yield
    drawn = yield from _built(merging, targets)
    if not with_fate:
        return drawn
    found = yield from fate_steps(measured, targets)
    return replace(drawn, fate=found)


def _rows(measured: Measured, targets: Sequence[str]) -> Iterator[Trace]:
    """The rows of the targets. A target that was asked for twice was traced once."""
    for target in targets:
        yield from measured.of_target(measured.summary.targets.index(target))


def _built(merging: Merging, targets: Sequence[str]) -> Steps[Graph]:
    """The graph. What was merged is freed bit by bit: all at once would take milliseconds."""
    nodes, ids = yield from _nodes(merging)
    edges = yield from _edges(merging, ids)
    ways = yield from _ways(merging, ids, targets)
    return Graph(
        by=merging.by,
        targets=list(targets),
        rows=merging.rows,
        without_paths=sorted(merging.without_paths),
        nodes=nodes,
        edges=edges,
        paths=ways,
        cut=merging.cut,
        unmerged=merging.unmerged,
    )


def _nodes(merging: Merging) -> Steps[tuple[list[Node], dict[Key, int]]]:
    """The nodes, and the id of each key."""
    order: list[tuple[int, str, Key]] = []
    for key, merged in merging.nodes.items():
        order.append((merged.min_ttl, key_text(key), key))
        if not len(order) % _PIECE:
            yield
    order = yield from in_order(order, itemgetter(0, 1))
    nodes: list[Node] = []
    for _, _, key in order:
        nodes.append(_node(len(nodes), key, merging.nodes[key], merging.known))
        if not len(nodes) % _PIECE:
            yield
    return nodes, {key: number for number, (_, _, key) in enumerate(order)}


def _edges(merging: Merging, ids: Mapping[Key, int]) -> Steps[list[Edge]]:
    yield
    order: list[tuple[int, int, Key, Key]] = []
    for near_key, far_key in merging.edges:
        order.append((ids[near_key], ids[far_key], near_key, far_key))
        if not len(order) % _PIECE:
            yield
    order = yield from in_order(order, itemgetter(0, 1))
    order.reverse()
    edges: list[Edge] = []
    while order:
        near, far, near_key, far_key = order.pop()
        passed = merging.edges.pop((near_key, far_key))
        edges.append(
            Edge(
                near=near,
                far=far,
                colos=sorted(passed.colos),
                flows=passed.flows,
                share=passed.flows / merging.nodes[near_key].leaving,
                certain=passed.certain,
                added_ms=median_ms(passed.added_ns),
            )
        )
        if not len(edges) % _PIECE:
            yield
    while merging.nodes:
        merging.nodes.popitem()
        if not len(merging.nodes) % _PIECE:
            yield
    return edges


def _ways(merging: Merging, ids: Mapping[Key, int], targets: Sequence[str]) -> Steps[list[Way]]:
    yield
    ways: list[Way] = []
    pace = Pace()
    while merging.ways:
        (target, steps, reached), passed = merging.ways.popitem()
        ways.append(
            Way(
                target=target,
                nodes=[sorted(ids[key] for key in step) for step in steps],
                colos=sorted(passed.colos),
                flows=passed.flows,
                reached=reached,
            )
        )
        if pace.full(sum(map(len, steps))):
            yield
    yield
    places = {target: place for place, target in enumerate(targets)}
    return (yield from in_order(ways, lambda way: (places[way.target], way.nodes, way.reached)))


def _node(number: int, key: Key, merged: MergedNode, known: Known) -> Node:
    kind, label, ip, name, asn = _shown(key, known)
    if merged.targets and kind is Kind.HOP:
        kind = Kind.TARGET
    times = merged.times
    return Node(
        id=number,
        kind=kind,
        label=label,
        ip=ip,
        name=name,
        asn=asn,
        targets=sorted(merged.targets),
        addresses=len(merged.addresses),
        colos=sorted(merged.colos),
        flows=merged.flows,
        min_ttl=merged.min_ttl if merged.flows else 0,
        max_ttl=merged.max_ttl,
        packet_count=times.count,
        packets_sent=merged.sent,
        packets_lost=merged.lost,
        min_rtt_ms=times.min_ms,
        mean_rtt_ms=times.mean_ms,
        max_rtt_ms=times.max_ms,
        added_ms=median_ms(merged.within_ns),
    )


def _shown(key: Key, known: Known) -> tuple[Kind, str, str, str, str]:
    """Kind, label, address, name and ASN."""
    if isinstance(key, bytes):
        ip = address_text(key)
        name = known.names.get(ip, "")
        return Kind.HOP, name or ip, ip, name, known.asns.get(ip, "")
    kind = Kind(str(key[0]))
    if kind is Kind.SILENT:
        return kind, "*", "", "", ""
    text = str(key[1])
    return kind, text, "", "" if kind is Kind.AS else text, text if kind is Kind.AS else ""
