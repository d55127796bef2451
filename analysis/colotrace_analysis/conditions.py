"""Which rows of a target are bad: slow, lossy, or unreached.

A row is *unreached* if its target did not answer; *lossy* if the target left at least two probes,
and at least a fifth of them, unanswered (not told for rows of several flows); *slow* if its median
RTT is above the median of all rows of that target by more than three times their scaled median
absolute deviation, 20 %, and 5 ms, with at least five rows. All others without an error are
healthy. The deviation makes the rule robust: nearly half of the rows may be slow. Where colos are
at very different distances, none is slow.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from colotrace_proto.measured import Trace
from colotrace_proto.messages import NodeKind

from .paths import Path, path_steps
from .work import ROW_LINES, Pace, Steps

LEAST_ROWS = 5
"""Reached rows of a target from which on one can be slow."""
SLOW_DEVIATIONS, SLOW_SHARE, SLOW_MS = 3.0, 0.2, 5.0
LEAST_LOST, LOSSY_SHARE = 2, 0.2
_SCALED = 1.4826
"""A median absolute deviation times this is the standard deviation of a normal distribution."""
_NS_PER_MS = 1e6


class Condition(enum.StrEnum):
    """What is wrong with a row."""

    SLOW = "slow"
    LOSSY = "lossy"
    UNREACHED = "unreached"


@dataclass(slots=True)
class RatedRow:
    """A row without an error. `condition` is None if it is healthy; `rtt_ms` is the median."""

    colo: str
    paths: Sequence[Path]
    targets: set[bytes]
    condition: Condition | None
    rtt_ms: float | None


def rated(traces: Iterable[Trace]) -> Steps[list[RatedRow]]:
    """The rows without an error, with their conditions."""
    rows: list[RatedRow] = []
    pace = Pace()
    for trace in traces:
        gathered = trace.gathered
        if pace.full(len(gathered.replies.ttl) + ROW_LINES):
            yield
        found = [] if gathered.code else (yield from path_steps(trace))
        if not found:
            continue
        nodes = gathered.replies.nodes
        ends = [node.kind is NodeKind.TARGET for node in nodes]
        targets = {node.address for node, end in zip(nodes, ends, strict=True) if end}
        if gathered.target_address:
            targets.add(gathered.target_address)
        lines = zip(gathered.replies.ttl, gathered.replies.node, strict=True)
        rtts = [
            rtt_ns
            for (_, node), rtt_ns in zip(lines, gathered.replies.rtt_ns, strict=True)
            if ends[node]
        ]
        condition = None
        if not rtts and not gathered.unplaced:
            condition = Condition.UNREACHED
        elif rtts and not gathered.own_ends:
            # An agent may report replies of TTLs at which it says it has sent nothing.
            sent = dict(enumerate(gathered.sent, 1)).get(len(found[0].hops), 0)
            lost = sent - len(rtts)
            if lost >= LEAST_LOST and lost >= LOSSY_SHARE * sent:
                condition = Condition.LOSSY
        rtt_ms = median(rtts) / _NS_PER_MS if rtts else None
        rows.append(RatedRow(gathered.colo.name, found, targets, condition, rtt_ms))
    limit_ms = slow_ms(rows)
    for row in rows:
        if row.condition is None and row.rtt_ms is not None and row.rtt_ms > limit_ms:
            row.condition = Condition.SLOW
    return rows


def slow_ms(rows: Sequence[RatedRow]) -> float:
    """The RTT above which a row is slow."""
    rtts = [row.rtt_ms for row in rows if row.rtt_ms is not None]
    if len(rtts) < LEAST_ROWS:
        return float("inf")
    middle = median(rtts)
    deviation = _SCALED * median(abs(rtt - middle) for rtt in rtts)
    return middle + max(SLOW_DEVIATIONS * deviation, SLOW_SHARE * middle, SLOW_MS)
