"""Measurements written down by hand.

A hop is a text with a word for each probe: `*` is silence, a letter stands for an address, and the
number behind it is the RTT in ms. `T` is the target, and `!` behind a letter a refusal.
"""

import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import recorded
from colotrace_formats.formats import FORMATS
from colotrace_proto import rows
from colotrace_proto.measured import Measured, Options, Remark, Status, Trace
from colotrace_proto.messages import Edge, FlowFields, Node, NodeKind, PacketType
from colotrace_proto.tally import Known

ID = "0194a1b2c3d47e5f8091a2b3c4d5e6f7"
BEGAN_MS = 1_795_898_784_394
DENVER = rows.Colo(city="Denver, CO, US", name="den01")
SINGAPORE = rows.Colo(city="Singapore, SG", name="sin01")


def packed(word: str, *, ipv6: bool = False) -> bytes:
    """The address that a letter stands for."""
    if word == "T":
        return ip_address("2001:db8:9::9" if ipv6 else "203.0.113.9").packed
    number = "abcdefghijklmnopqrstuvwxyz".index(word) + 1
    return ip_address(f"2001:db8::{number:x}" if ipv6 else f"192.0.2.{number}").packed


def trace(
    *hops: str,
    target: str = "www.example",
    colo: rows.Colo = DENVER,
    labels: Mapping[str, Sequence[str]] | None = None,
    ipv6: bool = False,
    old: bool = False,
    flows: Sequence[FlowFields] = (FlowFields(PacketType.ICMP, identifier=7),),
    several: Sequence[Sequence[str]] = (),
    resolved: bool = True,
    code: int = 0,
    unplaced: int = 0,
    links: tuple[Edge, ...] | None = None,
    remarks: Sequence[str] = (),
) -> Trace:
    """A row. `several` has the hops of each flow, instead of `hops`; `old`: by release 0.2."""
    told = labels or {}
    return recorded.trace(
        [
            [[_probe(word, told, ipv6=ipv6) for word in hop.split()] for hop in flow]
            for flow in several or [hops]
        ],
        target_address=packed("T", ipv6=ipv6) if resolved else b"",
        target=target,
        colo=colo,
        fields=flows,
        source_address=ip_address("2001:db8:1::1" if ipv6 else "198.51.100.7").packed,
        began_ms=BEGAN_MS,
        remarks=[Remark(1111, text) for text in remarks],
        release_0_2=old,
        duration_ns=1_034_000_000,
        code=code,
        unplaced=unplaced,
        own_ends=bool(several),
        links=links,
    )


def _probe(word: str, labels: Mapping[str, Sequence[str]], *, ipv6: bool) -> recorded.Probe:
    if word == "*":
        return None
    return _node(word, labels, ipv6=ipv6), float(word[1:].lstrip("!"))


def _node(word: str, labels: Mapping[str, Sequence[str]], *, ipv6: bool) -> Node:
    letter = word[0]
    kind = NodeKind.BARRIER if "!" in word else NodeKind.TRANSIT
    if letter == "T" and kind is NodeKind.TRANSIT:
        kind = NodeKind.TARGET
    return Node(packed(letter, ipv6=ipv6), kind, tuple(labels.get(letter, ())))


def measured(
    traces: Mapping[int, Trace],
    *,
    targets: Sequence[str] = ("www.example",),
    colos: Sequence[str] = ("den01",),
    options: Options = Options(),  # noqa: B008 - a tuple
    status: Status = Status.COMPLETE,
    names: Mapping[str, str] | None = None,
    asns: Mapping[str, str] | None = None,
    id: str = ID,  # noqa: A002 - the field's name
) -> Measured:
    """A measurement of these rows, by their numbers. Names and ASNs are by address."""
    ended = status is not Status.RUNNING
    return Measured(
        summary=recorded.summary(
            id=id,
            targets=targets,
            colos=colos,
            began_ms=BEGAN_MS,
            ended_ms=BEGAN_MS + 1_034 if ended else None,
            status=status,
            options=options,
            finished=len(traces),
        ),
        traces=dict(traces),
        known=Known(names or {}, asns or {}),
    )


def plain() -> Measured:
    """Two colos and one target: names, ASNs, a label stack, a silent hop, loss, and a refusal."""
    mpls = ("MPLS:L=24015,E=0,S=1,T=1",)
    return measured(
        {
            0: trace("a0.345 a0.312 a0.3", "* * *", "b10.25 c11.5 *", "T12.125 T12.5 T13"),
            1: trace(
                "d0.5 d0.6 d0.7",
                "b2.5 b2.25 b2.75",
                "e!3 * *",
                colo=SINGAPORE,
                labels={"b": mpls, "e": ("!X",)},
                remarks=["hop 3: probably limits the rate of its answers"],
            ),
        },
        colos=("den01", "sin01"),
        options=Options(max_ttl=8),
        names={"192.0.2.1": "gw.den.example", "203.0.113.9": "www.example"},
        asns={"192.0.2.2": "AS64500", "203.0.113.9": "AS64501"},
    )


MULTIPATH = Options(multipath=True, packet_type=PacketType.UDP)
COMBINED = Options(packet_type=PacketType.GRE_ICMP)


def _combined() -> Trace:
    return trace(
        several=[("a1 a2", "T3 T4"), ("a1 *", "* *")],
        flows=(FlowFields(PacketType.GRE, identifier=5), FlowFields(PacketType.ICMP)),
    )


CASES: dict[str, Measured] = {
    "plain": plain(),
    "ipv6": measured(
        {0: trace("a1 a2 a3", "b!4 * *", ipv6=True, labels={"b": ("!F-1400",)})},
        names={"2001:db8::1": "gw6.example"},
    ),
    "multipath": measured(
        {
            0: trace(
                several=[
                    ("a1 a1.5", "b2 b2.5", "T5 T5.5"),
                    ("a1.25 a1", "c3 c2", "d4 d4", "T6 T6"),
                ],
                flows=[recorded.udp_flow(number) for number in range(2)],
                links=(Edge(1, packed("a"), packed("b"), 1), Edge(1, packed("a"), packed("c"), 1)),
            )
        },
        options=MULTIPATH,
    ),
    "combined": measured({0: _combined()}, options=COMBINED),
    "release 0.2": measured({0: trace("a1 a2 *", "T3 T4 T5", old=True)}),
    "running": measured({1: trace("a1 * *")}, colos=("den01", "sin01"), status=Status.RUNNING),
    "nothing yet": measured({}, targets=("one.example", "two.example"), status=Status.RUNNING),
    "unresolved": measured(
        {0: trace(resolved=False, code=3, remarks=["the name does not exist"])},
        targets=("nosuch.example",),
        status=Status.PARTIAL,
    ),
    "lost agent": measured({0: trace("a1 a2 a3", "* * *", code=2)}, status=Status.CANCELLED),
    "silent": measured({0: trace("* * *", "* * *")}, options=Options(max_ttl=2)),
    "unplaced": measured({0: trace("a1 a2 a3", "* * *", unplaced=4)}),
    "not probed": measured({0: trace("a1", "", "T3")}),
    "without an id": measured({0: trace("T1")}, id=""),
    "two targets": measured(
        {n: trace("a1", "T2", target=("a.example", "b.example")[n // 2]) for n in range(4)},
        targets=("a.example", "b.example"),
        colos=("den01", "sin01"),
    ),
}
"""What renderers have to cope with."""


EVIL = (
    "\x1b[31mred",
    "a|b`c\\",
    "`code` | cell",
    "<script>alert(1)</script>",
    "[link](http://x.example) www.x.example @user #1 :a:",
    "\u202eevil\u2066",
    'quote" -> n0; n1 [label="x',
    "\\N \\l &lt; &#10;",
    "line\nbreak\r\n| new | row |",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    "x (192.0.2.99)  1.0 ms",
    "\udcff",
    "\\",
    "",
)


def evil(text: str) -> Measured:
    """A measurement in which everything that comes from the network is this text."""
    colo = rows.Colo(city=text, name=text)
    return measured(
        {
            0: trace("a1 b2 *", "T3", target=text, colo=colo, labels={"a": [text]}, remarks=[text]),
        },
        targets=(text,),
        colos=(text,),
        names={"192.0.2.1": text, "203.0.113.9": text},
        asns={"192.0.2.1": text},
    )


def written(name: str, what: Measured, *, follows: bool = False) -> str:
    """The measurement in that format."""
    return "".join(FORMATS[name].render(what, follows=follows))


def lines(name: str, what: Measured) -> list[dict]:
    """The documents of a format that has one a line."""
    return [json.loads(line) for line in written(name, what).splitlines()]
