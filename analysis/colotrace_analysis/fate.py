"""Shared fate: what the bad rows of a measurement have in common, and the healthy ones do not.

`conditions` says which rows are bad. Each address, link and AS that at least two bad rows of a
target cross is tested by Fisher's exact test, one-sided, against the healthy rows. Those that the
same rows cross can't be told apart, and are one finding. What another finding covers better is left
out. Of the rest, those are told that hold among so many tests (Benjamini and Hochberg). Targets are
no findings. Silence counts against a finding (see `crossings`).
"""

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from statistics import median

import msgspec
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Measured
from colotrace_proto.tally import Known

from .conditions import Condition, RatedRow, rated, slow_ms
from .crossings import Crossed, crossings
from .sentences import MOST_NAMED, listed, ms_text, verb
from .significance import discoveries, fisher_more
from .work import STEP_LINES, Pace, Steps, Work

MOST_FINDINGS = 10
"""Of one target and condition."""
MOST_COMPARED = 200
"""Candidates of one target and condition that are compared with each other, the most significant.
Each is compared with each."""
_LEAST_SHARED = 2
_NAMED = 300
"""Addresses that are looked up in one step."""
_PIECE = 10
"""Candidates that are compared, or told, in one step."""


class What(enum.StrEnum):
    """What rows share."""

    NODE = "node"
    LINK = "link"
    AS = "as"


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """An address, a link (two addresses), or an AS, without addresses. `asn` is empty if unknown,
    and for a link between two ASes. `names` and `asns` are those of the addresses."""

    what: What
    ips: list[str]
    names: list[str]
    asn: str
    asns: list[str] = []


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What bad rows of one target share. `in_words` is one sentence.

    `colos` cross it, of `bad` rows with that condition; `healthy_crossing` of `healthy` rows cross
    it, or may. `p_value` is that of Fisher's exact test, one-sided.
    """

    target: str
    condition: Condition
    in_words: str
    shared: list[Shared]
    colos: list[str]
    bad: int
    healthy_crossing: int
    healthy: int
    p_value: float


class Bad(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a target with one condition, and how many are healthy."""

    target: str
    condition: Condition
    in_words: str
    colos: list[str]
    healthy: int


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """The bad rows, and the findings, most significant first. `left_out` counts further findings
    beyond `MOST_FINDINGS` of one target and condition, and candidates beyond `MOST_COMPARED`."""

    bad: list[Bad]
    findings: list[Finding]
    left_out: int


def fate(measured: Measured, *, target: str | None = None) -> Fate:
    """What bad rows share, of one target or of each. Raises LookupError for an unknown target."""
    return work(measured, target=target).finish()


def work(measured: Measured, *, target: str | None = None) -> Work[Fate]:
    """The same in steps."""
    targets = measured.summary.targets
    if target is not None and target not in targets:
        raise LookupError(target)
    return Work(steps(measured, list(dict.fromkeys(targets if target is None else [target]))))


def steps(measured: Measured, targets: Sequence[str]) -> Steps[Fate]:
    """The same for several targets, as a part of other work."""
    bad: list[Bad] = []
    findings: list[Finding] = []
    left_out = 0
    for target in targets:
        traces = measured.of_target(measured.summary.targets.index(target))
        rows = yield from rated(traces)
        healthy = [row for row in rows if row.condition is None]
        for condition in Condition:
            of_kind = [row for row in rows if row.condition is condition]
            if of_kind:
                bad.append(_told(target, condition, of_kind, healthy, rows))
        some = healthy and len(healthy) < len(rows)
        healthy = of_kind = []
        if not some:
            yield from _freed(rows)
            continue
        crossed = yield from crossings(rows)
        for condition in Condition:
            if sum(row.condition is condition for row in rows) >= _LEAST_SHARED:
                found, more = yield from _findings(target, condition, rows, crossed, measured.known)
                findings += found[:MOST_FINDINGS]
                left_out += len(found[MOST_FINDINGS:]) + more
                yield
        while crossed:
            crossed.popitem()
            if not len(crossed) % STEP_LINES:
                yield
        yield from _freed(rows)
    findings.sort(key=lambda each: (each.p_value, targets.index(each.target), each.in_words))
    return Fate(bad=bad, findings=findings, left_out=left_out)


def _freed(rows: list[RatedRow]) -> Steps[None]:
    """Free rows bit by bit: all at once would take milliseconds."""
    pace = Pace()
    while rows:
        if pace.full(sum(len(path.hops) for path in rows.pop().paths)):
            yield


_Feature = Crossed | str
"""An address, a link, or an ASN."""


@dataclass(slots=True)
class _Class:
    """Features that the same rows cross, as bits of a number."""

    bad: int
    healthy: int
    features: list[_Feature] = field(default_factory=list)

    def covers(self, other: "_Class") -> bool:
        """Whether the other says nothing more."""
        return not (other.bad & ~self.bad or self.healthy & ~other.healthy)


def _findings(
    target: str,
    condition: Condition,
    rows: Sequence[RatedRow],
    crossed: Mapping[Crossed, int],
    known: Known,
) -> Steps[tuple[list[Finding], int]]:
    """Those of one condition, most significant first, and how many more were not compared."""
    bad = sum(1 << n for n, row in enumerate(rows) if row.condition is condition)
    healthy = sum(1 << n for n, row in enumerate(rows) if row.condition is None)
    targets: set[bytes] = set()
    pace = Pace()
    for row in rows:
        targets |= row.targets
        if pace.full(len(row.targets)):
            yield
    classes: dict[tuple[int, int], _Class] = {}
    ases: defaultdict[str, int] = defaultdict(int)
    features: dict[_Feature, int] = {}
    for number, (feature, mask) in enumerate(crossed.items(), 1):
        if not number % _NAMED:
            yield
        if feature in targets:
            continue
        features[feature] = mask
        if isinstance(feature, bytes) and (asn := known.asns.get(address_text(feature))):
            ases[asn] |= mask
    features.update(ases)
    for number, (shared_by, mask) in enumerate(features.items(), 1):
        if not number % _NAMED:
            yield
        key = mask & bad, mask & healthy
        if key[0].bit_count() >= _LEAST_SHARED:
            classes.setdefault(key, _Class(*key)).features.append(shared_by)
    total_bad, total_healthy = bad.bit_count(), healthy.bit_count()
    p_values: dict[tuple[int, int], float] = {}
    tested: list[tuple[float, _Class]] = []
    for number, each in enumerate(classes.values(), 1):
        crossing = each.bad.bit_count(), each.healthy.bit_count()
        if crossing not in p_values:
            p_values[crossing] = _p_value(*crossing, total_bad, total_healthy)
            if not len(p_values) % _PIECE:
                yield
        tested.append((p_values[crossing], each))
        if not number % STEP_LINES:
            yield
    counts = discoveries([p_value for p_value, _ in tested])
    kept = [each for each, count in zip(tested, counts, strict=True) if count]
    yield
    kept.sort(key=itemgetter(0))
    more = len(kept[MOST_COMPARED:])
    del kept[MOST_COMPARED:]
    found = []
    for number, (p_value, each) in enumerate(kept, 1):
        if not number % _PIECE:
            yield
        if any(other is not each and other.covers(each) for _, other in kept):
            continue
        shared = _shared(each.features, known)
        colos = sorted(row.colo for n, row in enumerate(rows) if each.bad >> n & 1)
        crosses = each.healthy.bit_count()
        found.append(
            Finding(
                target=target,
                condition=condition,
                in_words=_in_words(
                    condition,
                    shared,
                    bad=(len(colos), total_bad),
                    healthy=(crosses, total_healthy),
                ),
                shared=shared,
                colos=colos,
                bad=total_bad,
                healthy_crossing=crosses,
                healthy=total_healthy,
                p_value=p_value,
            )
        )
    return sorted(found, key=lambda each: (each.p_value, each.in_words)), more


def _p_value(a: int, c: int, bad: int, healthy: int) -> float:
    return fisher_more(a, bad - a, c, healthy - c)


def _shared(features: Iterable[_Feature], known: Known) -> list[Shared]:
    """Nodes, then links, then ASes."""
    found = []
    for feature in features:
        if isinstance(feature, str):
            found.append(Shared(what=What.AS, ips=[], names=[], asn=feature))
            continue
        what = What.NODE if isinstance(feature, bytes) else What.LINK
        packed = [feature] if isinstance(feature, bytes) else feature
        ips = [address_text(each) for each in packed]
        asns = [known.asns.get(ip, "") for ip in ips]
        asn = asns[0] if len(set(asns)) == 1 else ""
        names = [known.names.get(ip, "") for ip in ips]
        found.append(Shared(what=what, ips=ips, names=names, asn=asn, asns=asns))
    order = list(What)
    return sorted(found, key=lambda each: (order.index(each.what), each.ips, each.asn))


def _in_words(
    condition: Condition,
    shared: Sequence[Shared],
    *,
    bad: tuple[int, int],
    healthy: tuple[int, int],
) -> str:
    nodes = [each for each in shared if each.what is What.NODE]
    links = [each for each in shared if each.what is What.LINK]
    told = [_node(each) for each in nodes] if len(nodes) <= MOST_NAMED else _by_asn(nodes)
    if not nodes:
        told = [f"the link {each.ips[0]} to {each.ips[1]}" for each in links]
    named = {each.asn for each in nodes}
    told += [each.asn for each in shared if each.what is What.AS and each.asn not in named]
    crossing, of_healthy = healthy
    return (
        f"{bad[0]} of {bad[1]} {condition} colos cross {listed(told, 'nodes and links')}; "
        f"{crossing} of {of_healthy} healthy {'one does' if of_healthy == 1 else 'ones do'}"
    )


def _by_asn(nodes: Sequence[Shared]) -> list[str]:
    """So many nodes of each AS; one that is alone in its AS is named."""
    groups = defaultdict(list)
    for each in nodes:
        groups[each.asn].append(each)
    return [
        _node(of[0]) if len(of) == 1 else f"{len(of)} nodes of {asn or 'no known AS'}"
        for asn, of in groups.items()
    ]


def _node(node: Shared) -> str:
    asn = f" ({node.asn})" if node.asn else ""
    return f"{node.names[0] or node.ips[0]}{asn}"


def _told(
    target: str,
    condition: Condition,
    rows: Sequence[RatedRow],
    healthy: Sequence[RatedRow],
    all_rows: Sequence[RatedRow],
) -> Bad:
    colos = sorted(row.colo for row in rows)
    who = f"{listed(colos, 'colos')}, of {len(all_rows)},"
    match condition:
        case Condition.SLOW:
            rtts = [row.rtt_ms for row in all_rows if row.rtt_ms is not None]
            limit = f"more than {ms_text(slow_ms(all_rows))}, the median is {ms_text(median(rtts))}"
            words = f"{who} {verb(colos, 'are', 'is')} slow to {target}: {limit}"
        case Condition.LOSSY:
            words = f"{who} {verb(colos, 'lose')} packets to {target}"
        case Condition.UNREACHED:
            words = f"{who} {verb(colos, 'do', 'does')} not reach {target}"
    return Bad(
        target=target, condition=condition, in_words=words, colos=colos, healthy=len(healthy)
    )
