"""Measurements written down by hand, hop by hop.

A hop is a text with one word for each probe: a letter is the address that answered, `*` is silence,
`T` is the target, and `!` behind a letter is a refusal. One word stands for three equal ones. `a=5`
has an RTT of 5 ms; without it, the RTT is the TTL in ms.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from colotrace_proto import rows
from colotrace_proto.measured import Measured, Options, Trace
from colotrace_proto.messages import ColoName, FlowFields, Node, NodeKind
from colotrace_proto.tally import Known
from recorded import Probe, complete, summary, trace

TARGET = ip_address("203.0.113.9").packed
_OPTIONS = Options()


def address(letter: str) -> bytes:
    """The packed address that a letter stands for."""
    return TARGET if letter == "T" else ip_address(f"192.0.2.{ord(letter)}").packed


def ip(letter: str) -> str:
    return str(ip_address(address(letter)))


def row(
    *hops: str,
    colo: str = "den01",
    city: str = "Denver, CO, US",
    target: str = "example.com",
    target_address: bytes = TARGET,
    code: int = 0,
    unplaced: int = 0,
    flows: Sequence[Sequence[str]] | None = None,
    fields: Sequence[FlowFields] | None = None,
    multipath: bool = False,
    release_0_2: bool = False,
    labels: Mapping[str, tuple[str, ...]] | None = None,
    source: str = "198.51.100.1",
) -> Trace:
    """One row. `flows` has the hops of each flow, instead of `hops`."""
    several = flows if flows is not None else [hops]
    told = labels or {}
    return trace(
        [[_probes(hop, ttl, told) for ttl, hop in enumerate(each, 1)] for each in several],
        target=target,
        target_address=target_address,
        colo=rows.Colo(city=city, name=colo),
        fields=fields,
        source_address=ip_address(source).packed,
        release_0_2=release_0_2,
        code=code,
        unplaced=unplaced,
        own_ends=flows is not None,
        links=() if multipath else None,
    )


def _probes(hop: str, ttl: int, labels: Mapping[str, tuple[str, ...]]) -> list[Probe]:
    words = hop.split()
    return [_probe(word, ttl, labels) for word in (words * 3 if len(words) == 1 else words)]


def _probe(word: str, ttl: int, labels: Mapping[str, tuple[str, ...]]) -> Probe:
    if word == "*":
        return None
    name, _, rtt_ms = word.partition("=")
    return _node(name, labels.get(name.rstrip("!"), ())), float(rtt_ms or ttl)


def _node(name: str, labels: tuple[str, ...]) -> Node:
    if name == "T":
        return Node(TARGET, NodeKind.TARGET, labels)
    kind = NodeKind.BARRIER if name.endswith("!") else NodeKind.TRANSIT
    return Node(address(name.rstrip("!")), kind, labels)


def measured(
    *traces: Trace,
    asns: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    options: Options = _OPTIONS,
    number: int = 0,
) -> Measured:
    """A measurement of these rows. `asns` and `names` are by letter."""
    targets = tuple(dict.fromkeys(each.gathered.target for each in traces))
    colos = tuple(dict.fromkeys(ColoName(each.gathered.colo.name) for each in traces))
    begun = summary(id=f"{number:032x}", targets=targets, colos=colos, began_ms=0, options=options)
    numbered = {
        targets.index(each.gathered.target) * len(colos)
        + colos.index(ColoName(each.gathered.colo.name)): each
        for each in traces
    }
    known = Known(
        {ip(letter): name for letter, name in (names or {}).items()},
        {ip(letter): asn for letter, asn in (asns or {}).items()},
    )
    told = complete(begun, ended_ms=1, finished=len(traces))
    return Measured(summary=told, traces=numbered, known=known)
