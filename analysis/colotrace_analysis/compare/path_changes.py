"""The differences of two rows' paths, of one target from one colo.

Only the paths of one flow are compared: those whose packets had equal header fields in both
measurements, addresses included. Where one side is silent, nothing differs. Where both answered at
a TTL, with no address in common, the hop has changed, except between the branches of a load
balancer that `multipath` has seen.

With `multipath` on both sides, all flows of a side are a sample of its branches. An address that no
flow of the other side met is a change if the flows say so by Fisher's exact test, whichever flows
they are.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from colotrace_proto.measured import Trace
from colotrace_proto.messages import FlowFields, NodeKind

from colotrace_analysis.paths import Hop, Path
from colotrace_analysis.significance import fisher
from colotrace_analysis.work import STEP_LINES, Pace, Steps, in_order

P_BRANCH = 0.01
"""Most p-value of a branch that is told as new or gone by the number of its flows."""
_TABLES = 20
"""Exact tests in one step."""

Ttls = Mapping[bytes, set[int]]
"""At which TTLs an address answered."""


@dataclass(slots=True)
class PathChanges:
    """Addresses that are new, gone, or at another TTL. `appeared` and `went` are (TTL, address) in
    this order; `moved` has the TTLs before and after. `joined` and `left` are those of `appeared`
    and `went` whose AS is not on the other side's paths, by ASN."""

    appeared: list[tuple[int, bytes]] = field(default_factory=list)
    went: list[tuple[int, bytes]] = field(default_factory=list)
    moved: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    joined: dict[str, set[int]] = field(default_factory=dict)
    left: dict[str, set[int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.appeared or self.went or self.moved)


@dataclass(slots=True)
class Side:
    """One measurement's row. `balanced`: `multipath` has looked for all branches."""

    trace: Trace
    paths: Sequence[Path]
    balanced: bool
    targets: set[bytes]

    @classmethod
    def of(cls, trace: Trace, paths: Sequence[Path]) -> "Side":
        """The side of a row with these paths."""
        gathered = trace.gathered
        nodes = gathered.replies.nodes
        targets = {node.address for node in nodes if node.kind is NodeKind.TARGET}
        if gathered.target_address:
            targets.add(gathered.target_address)
        return cls(trace, paths, gathered.links is not None, targets)

    def flows(self) -> dict[FlowFields, Path]:
        """The paths whose header fields are known."""
        return {
            path.flow: path
            for path in self.paths
            if path.flow is not None and path.flow.packet_type is not None
        }


def same_ends(before: Trace, after: Trace) -> bool:
    """Whether both rows have the same source and target address."""
    return (
        before.source_address == after.source_address != b""
        and before.gathered.target_address == after.gathered.target_address
    )


def path_changes(before: Side, after: Side, asns: Mapping[bytes, str]) -> Steps[PathChanges | None]:
    """What differs between two rows; None if their paths cannot be compared. `asns` has the ASNs
    that are known."""
    changes = PathChanges()
    comparable = False
    targets = before.targets | after.targets
    old_known = (yield from _ttls(before.paths)) if before.balanced else None
    new_known = (yield from _ttls(after.paths)) if after.balanced else None
    if same_ends(before.trace, after.trace):
        old, new = before.flows(), after.flows()
        pace = Pace()
        for flow, path in old.items():
            if flow in new:
                comparable = True
                if path.hops != new[flow].hops:
                    yield from _compare(path, new[flow], old_known, new_known, changes)
                if pace.full(len(path.hops)):
                    yield
    if old_known and new_known:
        same_target = before.trace.gathered.target_address == after.trace.gathered.target_address
        if same_target:
            comparable = True
            was = yield from _Counts.of(before.paths)
            now = yield from _Counts.of(after.paths)
            changes.appeared += yield from _branches(now, was, old_known, targets)
            changes.went += yield from _branches(was, now, new_known, targets)
    if not comparable:
        return None
    if changes:
        changes.appeared = yield from _ordered(changes.appeared, targets)
        changes.went = yield from _ordered(changes.went, targets)
        changes.joined = yield from _ases(changes.appeared, before.paths, asns)
        changes.left = yield from _ases(changes.went, after.paths, asns)
    return changes


def _ordered(
    hops: Sequence[tuple[int, bytes]], targets: set[bytes]
) -> Steps[list[tuple[int, bytes]]]:
    """Each once, without targets."""
    found: set[tuple[int, bytes]] = set()
    for number, hop in enumerate(hops, 1):
        if hop[1] not in targets:
            found.add(hop)
        if not number % STEP_LINES:
            yield
    return (yield from in_order(list(found), key=lambda hop: hop))


def _compare(
    old: Path, new: Path, old_balanced: Ttls | None, new_balanced: Ttls | None, into: PathChanges
) -> Steps[None]:
    """Enter the differences of one flow, targets among them. `old_balanced` and `new_balanced` are
    what `multipath` saw, if it was asked for."""
    old_own = yield from _ttls([old])
    new_own = yield from _ttls([new])
    old_known, new_known = old_balanced or old_own, new_balanced or new_own
    pace = Pace()
    for ttl, (was, now) in enumerate(zip(old.hops, new.hops, strict=False), 1):
        if pace.full(1 + len(was) + len(now)):
            yield
        if was == now or not was or not now or not set(was).isdisjoint(now):
            continue
        if _known_at(ttl, now, old_known) or (not old_balanced and _known_at(ttl, was, new_known)):
            continue  # another branch of a known load balancer
        into.appeared += [(ttl, each) for each in now if each not in old_known]
        into.went += [(ttl, each) for each in was if each not in new_known]
    for address in old_own.keys() & new_own.keys():
        if pace.full(1):
            yield
        if not old_own[address].isdisjoint(new_own[address]):
            continue
        was_at, now_at = min(old_own[address]), min(new_own[address])
        if now_at not in old_known[address] and was_at not in new_known[address]:
            into.moved[address] = (was_at, now_at)


def _known_at(ttl: int, hop: Hop, known: Ttls) -> bool:
    return any(ttl in known.get(address, ()) for address in hop)


def _ttls(paths: Sequence[Path]) -> Steps[dict[bytes, set[int]]]:
    found: dict[bytes, set[int]] = {}
    pace = Pace()
    for path in paths:
        for ttl, hop in enumerate(path.hops, 1):
            for address in hop:
                found.setdefault(address, set()).add(ttl)
            if pace.full(1 + len(hop)):
                yield
    return found


class _Counts:
    """How many flows met an address at a TTL, and how many met any. Counted once, since each
    address of a wide row asks."""

    def __init__(self) -> None:
        self.met: defaultdict[tuple[bytes, int], int] = defaultdict(int)
        self.answered: defaultdict[int, int] = defaultdict(int)

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Steps["_Counts"]:
        counts = cls()
        pace = Pace()
        for path in paths:
            for ttl, hop in enumerate(path.hops, 1):
                counts.answered[ttl] += bool(hop)
                for address in hop:
                    counts.met[address, ttl] += 1
                if pace.full(1 + len(hop)):
                    yield
        return counts


def _branches(
    here: _Counts, there: _Counts, known_there: Ttls, targets: set[bytes]
) -> Steps[list[tuple[int, bytes]]]:
    """Addresses of `here` that no flow of `there` met, though enough flows answered at that TTL."""
    found = []
    p_values: dict[tuple[int, int, int], float] = {}
    for number, ((address, ttl), met) in enumerate(here.met.items(), 1):
        if not number % STEP_LINES:
            yield
        if address in known_there or address in targets:
            continue
        table = met, here.answered[ttl], there.answered[ttl]
        if table not in p_values:
            p_values[table] = fisher(met, table[1] - met, 0, table[2])
            if not len(p_values) % _TABLES:
                yield
        if p_values[table] <= P_BRANCH:
            found.append((ttl, address))
    return found


def _ases(
    hops: Sequence[tuple[int, bytes]], other: Sequence[Path], asns: Mapping[bytes, str]
) -> Steps[dict[str, set[int]]]:
    """The ASNs of these hops that no address of the other side's paths has, with their TTLs."""
    there: set[str | None] = set()
    pace = Pace()
    for path in other:
        for hop in path.hops:
            there.update(map(asns.get, hop))
            if pace.full(1 + len(hop)):
                yield
    found: dict[str, set[int]] = {}
    for ttl, address in hops:
        asn = asns.get(address)
        if asn is not None and asn not in there:
            found.setdefault(asn, set()).add(ttl)
    return found
