"""The path of each flow of a row: which addresses answered at each TTL, or silence.

A load balancer that works by flow sends all packets of a flow along one path, so that what the
packets of one flow met at neighbouring TTLs is connected (Augustin et al., Avoiding traceroute
anomalies with Paris traceroute, 2006). What different flows met is not.

The packets of one flow may still meet several addresses at one TTL: a router balances packet by
packet, or the route changed during the trace. Nobody can say then which of them a packet to the
next TTL passed. Such a hop has all its addresses.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count, repeat

import msgspec
from colotrace_proto.ends import refused_at
from colotrace_proto.measured import Trace
from colotrace_proto.messages import FlowFields, NodeKind, Replies
from colotrace_proto.tally import path_end
from msgspec.structs import replace

from .work import STEP_LINES, Pace, Steps, Work

Hop = tuple[bytes, ...]
"""The addresses that answered a flow at one TTL, packed, in the order of the probes; () is
silence."""
SILENT: Hop = ()

_COMBINED = -1
_Line = tuple[int, int, int, int]
"""Flow, TTL, ordinal, and index of the node."""


class Path(msgspec.Struct, frozen=True, gc=False):
    """The path of one flow. `hops` are those at TTL 1, 2, 3 …

    `flow` is None if the agent did not report flows (release 0.2): the path is then that of all
    replies of the row together. `reached`: the target answered. `refused`: a router's refusal is
    the end. Any other path ends with silence where the row does, if no flow reached the target;
    else at the flow's last answer, since the row cannot tell how far this flow was probed.
    """

    hops: tuple[Hop, ...]
    reached: bool = False
    refused: bool = False
    flow: FlowFields | None = None

    @property
    def heard(self) -> int:
        """Hops up to the last that answered."""
        last = len(self.hops)
        while last and not self.hops[last - 1]:
            last -= 1
        return last


def paths(trace: Trace) -> list[Path]:
    """The paths of a row's flows, in the order of the flows. Flows without any answer are left out,
    unless there is no other. Empty if no probe was sent."""
    return Work(path_steps(trace)).finish()


def path_steps(trace: Trace) -> Steps[list[Path]]:
    """The same in steps."""
    gathered = trace.gathered
    replies = gathered.replies
    end = path_end(gathered)
    if not end:
        return []
    if not replies.ttl:
        flow = trace.flows[0] if len(trace.flows) == 1 else None
        return [Path((SILENT,) * end, flow=flow)]
    combined = gathered.own_ends and not replies.flow
    kinds = {node.kind for node in replies.nodes}
    target = NodeKind.TARGET
    targets = {number for number, node in enumerate(replies.nodes) if node.kind is target}
    barred = NodeKind.BARRIER in kinds
    by_flow = yield from _by_flow(replies)
    pace = Pace()
    found: list[Path] = []
    for index in sorted(by_flow):
        lines = sorted(by_flow[index])
        flow = _flow(trace, index)
        found.append(
            _path(lines, replies, targets, end=end, combined=combined, barred=barred, flow=flow)
        )
        if pace.full(len(lines)):
            yield
    if gathered.unplaced or any(path.reached for path in found):
        return found
    return [path if path.refused else _padded(path, end) for path in found]


def _by_flow(replies: Replies) -> Steps[dict[int, list[_Line]]]:
    flow: Iterable[int] = replies.flow or repeat(_COMBINED)
    ordinal: Iterable[int] = replies.ordinal or count()
    lines = zip(flow, replies.ttl, ordinal, replies.node, strict=False)
    found: defaultdict[int, list[_Line]] = defaultdict(list)
    for number, line in enumerate(lines, 1):
        found[line[0]].append(line)
        if not number % STEP_LINES:
            yield
    return found


def _flow(trace: Trace, index: int) -> FlowFields | None:
    return trace.flows[index] if 0 <= index < len(trace.flows) else None


def _path(
    lines: Sequence[_Line],
    replies: Replies,
    targets: set[int],
    *,
    end: int,
    combined: bool,
    barred: bool,
    flow: FlowFields | None,
) -> Path:
    """The path up to the flow's last answer; `end` is the row's, as are the nodes that are
    `targets`, and whether any is a barrier."""
    nodes = replies.nodes
    # Sorted by TTL, so that the first answer of the target is the lowest.
    reached_at = next((ttl for _, ttl, _, node in lines if node in targets), None)
    refused = None
    if reached_at is not None:
        # Paths of several lengths, if they are combined.
        end = end if combined else min(end, reached_at)
    elif barred:
        refused = refused_at((ttl, nodes[n].kind, nodes[n].address) for _, ttl, _, n in lines)
        end = min(end, refused or end)
    hops: list[Hop] = []
    here: dict[bytes, None] = {}
    at = 0
    for _, ttl, _, number in lines:
        if ttl > end:
            break
        if ttl != at:
            if at:
                hops.append(tuple(here))
            if ttl - at > 1:
                hops += [SILENT] * (ttl - at - 1)
            at, here = ttl, {}
        here[nodes[number].address] = None
    if at:
        hops.append(tuple(here))
    return Path(tuple(hops), reached_at is not None, refused is not None, flow)


def _padded(path: Path, end: int) -> Path:
    hops = path.hops
    return replace(path, hops=(*hops, *(SILENT,) * (end - len(hops))))
