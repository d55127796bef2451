"""Merges the paths of rows: what `graph` numbers and describes.

A node's key is its packed address, or a tuple: what it is, and what tells it from others. A step of
a path is the keys of its nodes: one, or several if one flow met several addresses there.
"""

import enum
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Trace
from colotrace_proto.messages import NodeKind
from colotrace_proto.rows import UNKNOWN_ASN, Colo
from colotrace_proto.tally import Known

from .paths import Hop, Path, paths
from .work import MANY_FLOWS, Steps


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
Placed = tuple[int, int, Step]
"""First and last TTL of a step, and the step."""

_MOST_UNCERTAIN = 64
"""Most edges between two steps of which one has several nodes. Beyond, none is drawn: only a row
without flows has so many, and they would show nothing."""
_NS_PER_MS = 1e6


class Times:
    """RTTs of a node, in milliseconds; None without one."""

    __slots__ = ("_high", "_low", "_total", "count")

    def __init__(self) -> None:
        self.count = self._total = self._high = 0
        self._low = 1 << 62

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
    """What is known of a node. `flows` pass it, and `leaving` of them go on to a next node."""

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
    )

    def __init__(self) -> None:
        self.times = Times()
        self.addresses: set[bytes] = set()
        self.colos: set[str] = set()
        self.targets: set[str] = set()
        self.flows = self.leaving = self.sent = self.lost = self.max_ttl = 0
        self.min_ttl = 1 << 16


class Passed:
    """Who passed an edge, or took a path. `certain`: see `graph.Edge`."""

    __slots__ = ("certain", "colos", "flows")

    def __init__(self) -> None:
        self.colos: set[str] = set()
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
        self.ways: defaultdict[tuple[str, tuple[Step, ...], bool], Passed] = defaultdict(Passed)
        self._keys: dict[bytes, Key] = {}

    def add(self, trace: Trace) -> Steps[None]:
        """Take in a row; in steps if it has many flows."""
        gathered = trace.gathered
        target, colo = gathered.target, gathered.colo
        nodes = gathered.replies.nodes
        ends = {node.address for node in nodes if node.kind is NodeKind.TARGET}
        if gathered.target_address:
            ends.add(gathered.target_address)
        for address in ends:
            self.nodes[address].targets.add(target)
        found = paths(trace)
        if not found:
            self.without_paths.add(colo.name)
            return
        self.rows += 1
        source = self._source(colo)
        for number, path in enumerate(found, 1):
            placed = self._placed(path, source, target, ends)
            self._pass(colo.name, target, placed, path)
            if not number % MANY_FLOWS:
                yield
        # Whose the probes without an answer were is only known if the row has one path.
        self._measure(trace, found, placed if len(found) == 1 else (), ends)

    def _pass(self, colo: str, target: str, placed: Sequence[Placed], path: Path) -> None:
        """Enter a path into nodes, edges and ways."""
        steps = tuple(step for _, _, step in placed)
        nodes = self.nodes
        seen: set[Key] = set()
        for first, last, step in placed:
            for key in step:
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
        way = self.ways[target, steps, path.reached]
        way.colos.add(colo)
        way.flows += 1

    def _measure(
        self, trace: Trace, found: Sequence[Path], placed: Sequence[Placed], ends: set[bytes]
    ) -> None:
        """Enter RTTs and loss of a row."""
        gathered = trace.gathered
        replies = gathered.replies
        longest = max(len(path.hops) for path in found)
        keys = [self._key(node.address, ends) for node in replies.nodes]
        rtts: dict[int, list[int]] = {}
        at: list[set[Key]] = [set() for _ in range(longest)]
        answers = [0] * longest
        for ttl, node, rtt_ns in zip(replies.ttl, replies.node, replies.rtt_ns, strict=True):
            if ttl <= longest:
                rtts.setdefault(node, []).append(rtt_ns)
                at[ttl - 1].add(keys[node])
                answers[ttl - 1] += 1
        for number, of_node in rtts.items():
            merged = self.nodes[keys[number]]
            merged.addresses.add(replies.nodes[number].address)
            merged.times.add(of_node)
        for first, last, step in placed:
            if not self._is_silent(step):
                continue
            for place in range(first - 1, last):
                at[place].update(step)
        for sent, answered, there in zip(gathered.sent, answers, at, strict=False):
            if len(there) == 1:
                (key,) = there
                merged = self.nodes[key]
                merged.sent += max(sent, answered)
                merged.lost += max(sent - answered, 0)

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
            key = (Kind.SILENT, placed[-1][2], target)
            placed.append((first, len(path.hops), (key,)))
        return placed

    def _silence(self, before: Step, after: Step, *, first: int, count: int) -> Iterator[Placed]:
        """Silent hops between two steps: one node each, or one in all between ASes."""
        if count and self.by is By.ASN:
            yield first, first + count - 1, ((Kind.SILENT, before, after),)
            return
        for place in range(count):
            key = (Kind.SILENT, before, after, place, count)
            yield first + place, first + place, (key,)

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


def key_text(key: object) -> str:
    """A text to sort keys by."""
    if isinstance(key, bytes):
        return f"{len(key):02}{key.hex()}"
    if isinstance(key, tuple):
        return "(" + " ".join(map(key_text, key)) + ")"
    return f"{key:04}" if isinstance(key, int) else str(key)
