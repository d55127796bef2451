"""Measurements written down by hand, hop by hop.

A hop is a text with one word for each probe: a letter is the address that answered, `*` is silence,
`T` is the target, and `!` behind a letter is a refusal. One word stands for three equal ones. `a=5`
has an RTT of 5 ms; without it, the RTT is the TTL in ms.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from colotrace_proto import rows
from colotrace_proto.measured import Measured, Options, Status, Summary, Trace
from colotrace_proto.messages import ColoName, FlowFields, Node, NodeKind, PacketType, Replies
from colotrace_proto.tally import Gathered, Known

TARGET = ip_address("203.0.113.9").packed
_OPTIONS = Options()


def address(letter: str) -> bytes:
    """The packed address that a letter stands for."""
    return TARGET if letter == "T" else ip_address(f"192.0.2.{ord(letter)}").packed


def ip(letter: str) -> str:
    return str(ip_address(address(letter)))


def flow(number: int) -> FlowFields:
    return FlowFields(
        PacketType.UDP, number=number, source_port=33_000 + number, destination_port=33_434
    )


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
    lines: list[tuple[int, int, int, int, int]] = []
    nodes: dict[Node, int] = {}
    sent = [0] * max((len(each) for each in several), default=0)
    for number, of_flow in enumerate(several):
        ordinal = 0
        for ttl, hop in enumerate(of_flow, 1):
            words = hop.split()
            for word in words * 3 if len(words) == 1 else words:
                sent[ttl - 1] += 1
                ordinal += 1
                if word == "*":
                    continue
                name, _, rtt_ms = word.partition("=")
                node = _node(name, (labels or {}).get(name.rstrip("!"), ()))
                rtt_ns = round(float(rtt_ms or ttl) * 1e6)
                at = nodes.setdefault(node, len(nodes))
                lines.append((ttl, rtt_ns, at, ordinal - 1, number))
    columns = tuple(tuple(column) for column in zip(*lines, strict=True)) or ((),) * 5
    replies = Replies(columns[0], columns[1], columns[2], tuple(nodes), columns[3], columns[4])
    if release_0_2:
        replies = Replies(columns[0], columns[1], columns[2], tuple(nodes))
    told = fields if fields is not None else [flow(number) for number in range(len(several))]
    return Trace(
        gathered=Gathered(
            target=target,
            colo=rows.Colo(city=city, name=colo),
            target_address=target_address,
            sent=tuple(sent),
            replies=replies,
            duration_ns=5_000_000,
            code=code,
            unplaced=unplaced,
            own_ends=flows is not None,
            links=() if multipath else None,
        ),
        began_ms=0,
        source_address=b"" if release_0_2 else ip_address(source).packed,
        flows=() if release_0_2 else tuple(told),
    )


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
    targets = tuple(dict.fromkeys(trace.gathered.target for trace in traces))
    colos = tuple(dict.fromkeys(ColoName(trace.gathered.colo.name) for trace in traces))
    summary = Summary(
        id=f"{number:032x}",
        account_id="acc",
        caller="",
        coordinator="c1",
        status=Status.COMPLETE,
        began_ms=0,
        ended_ms=1,
        targets=targets,
        colos=colos,
        options=options,
        finished=len(traces),
    )
    numbered = {
        targets.index(trace.gathered.target) * len(colos)
        + colos.index(ColoName(trace.gathered.colo.name)): trace
        for trace in traces
    }
    known = Known(
        {ip(letter): name for letter, name in (names or {}).items()},
        {ip(letter): asn for letter, asn in (asns or {}).items()},
    )
    return Measured(summary=summary, traces=numbered, known=known)
