"""Recorded measurements for tests: of 15 hops with 3 replies each, and of given replies."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from colotrace_proto.measured import Options, Remark, Status, Summary, Trace
from colotrace_proto.messages import ColoName, FlowFields, Node, NodeKind, PacketType, Replies
from colotrace_proto.rows import Colo
from colotrace_proto.tally import Gathered, Known
from msgspec.structs import replace

BEGAN_MS = 1_800_000_000_000
COORDINATOR = "0123456789abcdef" * 2
Probe = tuple[Node, float] | None
"""The node that answered a probe, and the RTT in milliseconds; None is silence."""
_numbers = itertools.count()


def measurement_id(at_ms: int = BEGAN_MS) -> str:
    """An id of that moment; later calls give greater ones."""
    return f"{at_ms:012x}7{next(_numbers):019x}"


def summary(
    *,
    targets: Sequence[str] = ("www.example.com",),
    colos: Sequence[str] = ("den01",),
    began_ms: int = BEGAN_MS,
    account: str = "a1",
    **fields: Any,
) -> Summary:
    """A measurement that has just begun."""
    told: dict[str, Any] = {
        "id": measurement_id(began_ms),
        "caller": "t1",
        "coordinator": COORDINATOR,
        "status": Status.RUNNING,
        "ended_ms": None,
        "options": Options(),
    }
    told.update(fields)
    return Summary(
        account_id=account,
        began_ms=began_ms,
        targets=tuple(targets),
        colos=tuple(map(ColoName, colos)),
        **told,
    )


def complete(begun: Summary, **fields: Any) -> Summary:
    """The measurement once all of its rows have ended."""
    told = {"status": Status.COMPLETE, "ended_ms": begun.began_ms + 1_234, "finished": begun.rows}
    return replace(begun, **(told | fields))


def udp_flow(number: int) -> FlowFields:
    """The header fields of a row's flow, by its number from 0."""
    return FlowFields(
        PacketType.UDP, number=number, source_port=33_000 + number, destination_port=33_434
    )


def trace(
    flows: Sequence[Sequence[Sequence[Probe]]],
    *,
    target_address: bytes,
    target: str = "www.example.com",
    colo: Colo = Colo(city="Denver, CO, US", name="den01"),  # noqa: B008 - it is frozen
    fields: Sequence[FlowFields] | None = None,
    source_address: bytes = b"\xc6\x33\x64\x01",
    began_ms: int = 0,
    remarks: Sequence[Remark] = (),
    release_0_2: bool = False,
    **gathered: Any,
) -> Trace:
    """A row of given replies. Each flow has hops, and each hop has probes, in the order of sending.

    `fields` are those of the flows; by default each is a UDP flow. `release_0_2`: without what
    agents of that release do not report. `gathered` are further fields of `Gathered`.
    """
    sent = [0] * max(map(len, flows), default=0)
    nodes: dict[Node, int] = {}
    lines: list[tuple[int, int, int, int, int]] = []
    for number, hops in enumerate(flows):
        ordinals = itertools.count()
        for ttl, probes in enumerate(hops, 1):
            for probe in probes:
                sent[ttl - 1] += 1
                ordinal = next(ordinals)
                if probe is not None:
                    node, rtt_ms = probe
                    place = nodes.setdefault(node, len(nodes))
                    lines.append((ttl, round(rtt_ms * 1e6), place, ordinal, number))
    columns = list(zip(*lines, strict=True)) or [()] * 5
    placed = [] if release_0_2 else columns[3:]
    if fields is None:
        fields = [udp_flow(number) for number in range(len(flows))]
    return Trace(
        gathered=Gathered(
            target=target,
            colo=colo,
            target_address=target_address,
            sent=tuple(sent),
            replies=Replies(*columns[:3], tuple(nodes), *placed),
            **({"duration_ns": 5_000_000} | gathered),
        ),
        began_ms=began_ms,
        source_address=b"" if release_0_2 else source_address,
        flows=() if release_0_2 else tuple(fields),
        remarks=tuple(remarks),
    )


def row(
    begun: Summary, number: int = 0, *, seed: int = 1, code: int = 0, reached: bool = True
) -> Trace:
    """A row of 15 hops with 3 replies each, in the order of their arrival, like on the Internet."""
    draw = random.Random(seed * 10_000 + number)
    target, colo = begun.place(number)
    base, lines, nodes = 300_000.0, [], []
    for hop in range(15):
        base += draw.expovariate(1 / 4e6)
        last = NodeKind.TARGET if reached else NodeKind.TRANSIT
        nodes.append(Node(draw.randbytes(4), last if hop == 14 else NodeKind.TRANSIT))
        for probe in range(3):
            rtt_ns = int(base + draw.expovariate(1 / 3e5))
            lines.append((hop + 1, rtt_ns, hop, hop * 3 + probe, 0))
    lines.sort(key=lambda line: line[1])
    ttl, rtts_ns, node, ordinal, flow = zip(*lines, strict=True)
    return Trace(
        gathered=Gathered(
            target=begun.targets[target],
            colo=Colo(city="Denver, CO, US", name=begun.colos[colo]),
            target_address=nodes[-1].address,
            sent=(3,) * 15,
            replies=Replies(ttl, rtts_ns, node, tuple(nodes), ordinal, flow),
            duration_ns=draw.randrange(10**9),
            code=code,
        ),
        began_ms=begun.began_ms + draw.randrange(20),
        source_address=b"\xc0\x00\x02\x01",
        flows=(FlowFields(PacketType.ICMP, identifier=draw.randrange(1 << 16)),),
    )


def known(traces: Sequence[Trace], *, seed: int = 1) -> Known:
    """Names and ASNs of nearly all addresses, like on the Internet."""
    from colotrace_proto.addresses import address_text

    draw = random.Random(seed)
    cities, carriers = ("dllstx09", "chcgil09", "frnkge13", "sngpsi07"), (174, 3356, 6939, 13335)
    names, asns = {}, {}
    for trace in traces:
        for node in trace.gathered.replies.nodes:
            text, carrier = address_text(node.address), draw.choice(carriers)
            asns[text] = f"AS{carrier}"
            if draw.random() < 0.8:
                where = f"{draw.choice(cities)}.us.bb.as{carrier}.example.net"
                names[text] = f"ae-{draw.randrange(64)}.r{draw.randrange(30):02}.{where}"
    return Known(names, asns)
