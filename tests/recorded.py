"""Recorded measurements for tests: of 15 hops with 3 replies each, and arbitrary ones."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from colotrace_proto.measured import Options, Status, Summary, Trace
from colotrace_proto.messages import ColoName, FlowFields, Node, NodeKind, PacketType, Replies
from colotrace_proto.rows import Colo
from colotrace_proto.tally import Gathered, Known
from msgspec.structs import replace

BEGAN_MS = 1_800_000_000_000
COORDINATOR = "0123456789abcdef" * 2
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
