"""Merges the paths of rows: what `graph` numbers and describes.

A node's key is its packed address, or a tuple: what it is, and what tells it from others. A step of
a path is the keys of its nodes: one, or several if one flow met several addresses there.
"""

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median

from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Trace
from colotrace_proto.messages import NodeKind
from colotrace_proto.rows import UNKNOWN_ASN, Colo
from colotrace_proto.tally import Known

from .paths import Hop, Path, path_steps
from .work import STEP_LINES, Pace, Steps


class By(enum.StrEnum):
    """What one node is made of."""

    ADDRESS = "address"
    ASN = "asn"
    CITY = "city"


class Kind(enum.StrEnum):
    """What a node is."""

    COLO = "colo"
    CITY = "city"
    HOP = "hop"
    TARGET = "target"
    AS = "as"
    SILENT = "silent"


Key = bytes | tuple[object, ...]
Step = tuple[Key, ...]
Way = tuple[str, tuple[Step, ...], bool]
"""Target, the steps, and whether the target answered."""
Placed = tuple[int, int, Step]
"""First and last TTL of a step, and the step."""

_MOST_UNCERTAIN = 64
"""Most edges between two steps of which one has several nodes. Beyond, none is drawn: only a row
without flows has so many, and they would show nothing."""
_WIDE = 8
"""Most nodes of a step that is named by all of them."""
MOST_NODES = 20_000
MOST_EDGES = 20_000
MOST_STEPS = 50_000
"""Where a graph is cut: further paths are not merged; or, beyond this many nodes along different
paths, merged but not listed. One path may be beyond."""
_NS_PER_MS = 1e6
_LONGEST_NS = 1 << 62


class Times:
    """RTTs of a node, in milliseconds; None without one."""

    __slots__ = ("_high", "_low", "_total", "count")

    def __init__(self) -> None:
        self.count = self._total = self._high = 0
        self._low = _LONGEST_NS

    def add(self, rtt_ns: Sequence[int]) -> None:
        """Take in RTTs, at least one."""
        self.count += len(rtt_ns)
        self._total += sum(rtt_ns)
        self._low = min(self._low, min(rtt_ns))
        self._high = max(self._high, max(rtt_ns))

    @property
    def min_ms(self) -> float | None:
        """The least."""
        return self._low / _NS_PER_MS if self.count else None

    @property
    def mean_ms(self) -> float | None:
        """The mean."""
        return self._total / self.count / _NS_PER_MS if self.count else None

    @property
    def max_ms(self) -> float | None:
        """The greatest."""
        return self._high / _NS_PER_MS if self.count else None


class MergedNode:
    """What is known of a node. `flows` pass it, and `leaving` of them go on to a next node.
    `within_ns`: of each row, by how much the RTT rises between the group's first and last hop."""

    __slots__ = (
        "addresses",
        "colos",
        "flows",
        "leaving",
        "lost",
        "max_ttl",
        "min_ttl",
        "sent",
        "targets",
        "times",
        "within_ns",
    )

    def __init__(self) -> None:
        self.times = Times()
        self.within_ns: list[int] = []
        self.addresses: set[bytes] = set()
        self.colos: set[str] = set()
        self.targets: set[str] = set()
        self.flows = self.leaving = self.sent = self.lost = self.max_ttl = 0
        self.min_ttl = 1 << 16


class Passed:
    """Who passed an edge, or took a path. `certain`: see `graph.Edge`. `added_ns`: of each row, by
    how much the RTT rises along the edge."""

    __slots__ = ("added_ns", "certain", "colos", "flows")

    def __init__(self) -> None:
        self.colos: set[str] = set()
        self.added_ns: list[int] = []
        self.flows = 0
        self.certain = False


class Merging:
    """Takes rows one by one. `ways` are the paths, by target, steps, and whether the target
    answered."""

    def __init__(self, known: Known, by: By) -> None:
        self.known = known
        self.by = by
        self.rows = 0
        self.without_paths: set[str] = set()
        self.nodes: defaultdict[Key, MergedNode] = defaultdict(MergedNode)
        self.edges: defaultdict[tuple[Key, Key], Passed] = defaultdict(Passed)
        self.ways: defaultdict[Way, Passed] = defaultdict(Passed)
        self.cut = self.unmerged = 0
        """Flows whose path is not among `ways`, or not merged at all."""
        self._keys: dict[bytes, Key] = {}
        self._wide: dict[Step, int] = {}
        self._length = 0
        self._pace = Pace()

    def add(self, trace: Trace) -> Steps[None]:
        """Take in a row, in steps if it is large."""
        gathered = trace.gathered
        target, colo = gathered.target, gathered.colo
        nodes = gathered.replies.nodes
        ends = {node.address for node in nodes if node.kind is NodeKind.TARGET}
        if gathered.target_address:
            ends.add(gathered.target_address)
        found = yield from path_steps(trace)
        for number, address in enumerate(ends, 1):
            self.nodes[address].targets.add(target)
            if not number % STEP_LINES:
                yield
        if not found:
            self.without_paths.add(colo.name)
            return
        source = self._source(colo)
        drawn: dict[Way, Sequence[Placed]] = {}
        for path in found:
            placed = self._placed(path, source, target, ends)
            steps = tuple(step for _, _, step in placed)
            way = target, steps, path.reached
            if self.full and way not in self.ways:
                self.cut += 1
                self.unmerged += 1
            else:
                drawn[way] = placed
                yield from self._pass(colo.name, way, placed)
            if self._pace.full(len(steps)):
                yield
        self.rows += bool(drawn)
        # Whose the probes without an answer were is only known if the row has one path.
        least = yield from self._measure(trace, found, placed if len(found) == 1 else (), ends)
        yield from self._rise(drawn.values(), least)

    @property
    def full(self) -> bool:
        """Whether no further path is drawn."""
        return len(self.nodes) >= MOST_NODES or len(self.edges) >= MOST_EDGES

    def _pass(self, colo: str, way: Way, placed: Sequence[Placed]) -> Steps[None]:
        """Enter a path into nodes, edges and ways."""
        _, steps, _ = way
        nodes, pace = self.nodes, self._pace
        seen: set[Key] = set()
        for first, last, step in placed:
            for key in step:
                if pace.full(1):
                    yield
                node = nodes[key]
                if first < node.min_ttl:
                    node.min_ttl = first
                if last > node.max_ttl:
                    node.max_ttl = last
                if key not in seen:
                    seen.add(key)
                    node.colos.add(colo)
                    node.flows += 1
        edges: dict[tuple[Key, Key], bool] = {}
        for near, far in pairwise(steps):
            certain = len(near) == len(far) == 1
            if certain:
                edges[near[0], far[0]] = True
            elif len(near) * len(far) <= _MOST_UNCERTAIN:
                for one in near:
                    for other in far:
                        edges.setdefault((one, other), False)
        for key in {key for key, _ in edges}:
            nodes[key].leaving += 1
        for edge, certain in edges.items():
            passed = self.edges[edge]
            passed.colos.add(colo)
            passed.flows += 1
            passed.certain |= certain
        if way not in self.ways and self._length + len(steps) > MOST_STEPS:
            self.cut += 1
            return
        if way not in self.ways:
            self._length += sum(map(len, steps))
        taken = self.ways[way]
        taken.colos.add(colo)
        taken.flows += 1

    def _measure(
        self, trace: Trace, found: Sequence[Path], placed: Sequence[Placed], ends: set[bytes]
    ) -> Steps[dict[tuple[int, Key], int]]:
        """Enter RTTs and loss of a row. Returns the least RTT of each node at each TTL."""
        gathered = trace.gathered
        replies = gathered.replies
        longest = max(len(path.hops) for path in found)
        pace = self._pace
        keys: list[Key] = []
        for node in replies.nodes:
            keys.append(self._key(node.address, ends))
            if pace.full(1):
                yield
        rtts: dict[int, list[int]] = {}
        least: dict[tuple[int, Key], int] = {}
        at: list[set[Key]] = [set() for _ in range(longest)]
        answers = [0] * longest
        for ttl, number, rtt_ns in zip(replies.ttl, replies.node, replies.rtt_ns, strict=True):
            if ttl <= longest:
                rtts.setdefault(number, []).append(rtt_ns)
                there = ttl, keys[number]
                if rtt_ns < least.get(there, _LONGEST_NS):
                    least[there] = rtt_ns
                at[ttl - 1].add(keys[number])
                answers[ttl - 1] += 1
            if pace.full(1):
                yield
        for number, of_node in rtts.items():
            if pace.full(1):
                yield
            if self.full and keys[number] not in self.nodes:
                continue
            merged = self.nodes[keys[number]]
            merged.addresses.add(replies.nodes[number].address)
            merged.times.add(of_node)
        for first, last, step in placed:
            if not self._is_silent(step):
                continue
            for place in range(first - 1, last):
                at[place].update(step)
        for sent, answered, met in zip(gathered.sent, answers, at, strict=False):
            if len(met) == 1:
                (key,) = met
                if self.full and key not in self.nodes:
                    continue
                merged = self.nodes[key]
                merged.sent += max(sent, answered)
                merged.lost += max(sent - answered, 0)
        return least

    def _rise(
        self, drawn: Iterable[Sequence[Placed]], least: Mapping[tuple[int, Key], int]
    ) -> Steps[None]:
        """Enter by how much the RTT of a row rises along each edge, and within each group. Along
        silence, it rises where the next hop answers; at several nodes, nobody knows."""
        seen: set[Key | tuple[Key, Key]] = set()
        for placed in drawn:
            so_far: int | None = 0
            before: Key | None = None
            for first, last, step in placed:
                key = step[0] if len(step) == 1 else None
                entered = least.get((first, step[0])) if key else None
                if key and entered is not None:
                    left = least.get((last, key), entered)
                    if last > first and key not in seen:
                        seen.add(key)
                        self.nodes[key].within_ns.append(left - entered)
                    edge = (before, key) if before else None
                    if edge and so_far is not None and edge not in seen and edge in self.edges:
                        seen.add(edge)
                        self.edges[edge].added_ns.append(entered - so_far)
                    so_far = left
                elif not key:
                    so_far = None
                before = key
            if self._pace.full(len(placed)):
                yield

    def _placed(self, path: Path, source: Key, target: str, ends: set[bytes]) -> list[Placed]:
        """The steps of a path from its colo, with the TTLs where each begins and ends."""
        placed: list[Placed] = [(0, 0, (source,))]
        silent = 0
        for ttl, hop in enumerate(path.hops, 1):
            if not hop:
                silent += 1
                continue
            step = self._step(hop, ends)
            before = placed[-1]
            if self.by is By.ASN and step == before[2] and not isinstance(step[0], bytes):
                placed[-1] = (before[0], ttl, step)
            else:
                placed += self._silence(before[2], step, first=ttl - silent, count=silent)
                placed.append((ttl, ttl, step))
            silent = 0
        if silent:
            first = len(path.hops) - silent + 1
            key = (Kind.SILENT, self._named(placed[-1][2]), target)
            placed.append((first, len(path.hops), (key,)))
        return placed

    def _silence(self, near: Step, far: Step, *, first: int, count: int) -> Iterator[Placed]:
        """Silent hops between two steps: one node each, or one in all between ASes."""
        if not count:
            return
        before, after = self._named(near), self._named(far)
        if self.by is By.ASN:
            yield first, first + count - 1, ((Kind.SILENT, before, after),)
            return
        for place in range(count):
            key = (Kind.SILENT, before, after, place, count)
            yield first + place, first + place, (key,)

    def _named(self, step: Step) -> tuple[object, ...]:
        """What names a step within a key: of a wide one, a part and a number."""
        if len(step) <= _WIDE:
            return step
        return (*step[:_WIDE], self._wide.setdefault(step, len(self._wide)))

    @staticmethod
    def _is_silent(step: Step) -> bool:
        return step[0][0] is Kind.SILENT

    def _step(self, hop: Hop, ends: set[bytes]) -> Step:
        if len(hop) == 1:
            return (self._key(hop[0], ends),)
        return tuple(sorted({self._key(address, ends) for address in hop}, key=key_text))

    def _key(self, address: bytes, ends: set[bytes]) -> Key:
        if self.by is not By.ASN or address in ends:
            return address
        key = self._keys.get(address)
        if key is None:
            asn = self.known.asns.get(address_text(address), UNKNOWN_ASN)
            key = address if asn == UNKNOWN_ASN else (Kind.AS, asn)
            self._keys[address] = key
        return key

    def _source(self, colo: Colo) -> Key:
        if self.by is By.CITY and colo.city:
            return (Kind.CITY, colo.city)
        return (Kind.COLO, colo.name)


def median_ms(values_ns: Sequence[int]) -> float | None:
    """The median in milliseconds; None of nothing."""
    return median(values_ns) / _NS_PER_MS if values_ns else None


def key_text(key: object) -> str:
    """A text to sort keys by."""
    if isinstance(key, bytes):
        return f"{len(key):02}{key.hex()}"
    if isinstance(key, tuple):
        return "(" + " ".join(map(key_text, key)) + ")"
    return f"{key:04}" if isinstance(key, int) else str(key)
