#!/usr/bin/env python3
"""Makes zstd's dictionary for short blobs of the history, from rows like those of the Internet.

Never run it for a form of blobs that is in use: they can be read with their own dictionary only. A
better dictionary is a further file, and a further form in `store/history/seal.py`.
"""

import random
import sys
from pathlib import Path

import msgspec
import zstandard
from colotrace_coordinator.store.history.heads import body_steps
from colotrace_coordinator.store.history.packing import pack
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Options, Status, Summary, Trace
from colotrace_proto.messages import ColoName, FlowFields, Node, NodeKind, PacketType, Replies
from colotrace_proto.rows import Colo
from colotrace_proto.tally import Gathered, Known

_OUT = (
    Path(__file__).parent.parent
    / "coordinator/colotrace_coordinator/store/history/dictionary-1.zstd"
)
_BYTES, _SAMPLES = 6_144, 4_000
_ASNS = (174, 701, 1299, 2914, 3257, 3320, 3356, 5511, 6453, 6461, 6762, 6939, 7018, 7922, 8075)
_ASNS += (9002, 12956, 13335, 15169, 16509, 20940, 32934, 34549, 54113)
_PORTS = ("ae", "xe", "et", "te", "ge", "be", "hu", "po", "lo", "vlan", "bundle-ether", "100ge")
_ROLES = ("core", "cr", "br", "edge", "gw", "rtr", "pe", "ccr", "bb", "border", "agg", "dist", "r")
_PLACES = (
    "fra",
    "ams",
    "lon",
    "par",
    "nyc",
    "iad",
    "chi",
    "dfw",
    "den",
    "lax",
    "sjc",
    "sea",
    "sin",
)
_PLACES += ("hkg", "tyo", "syd", "gru", "mad", "mil", "sto", "waw", "vie", "zrh", "atl", "mia")
_ENDS = ("net", "com", "net", "org", "de", "uk", "ip.net", "as.net", "bb.net", "carrier.net")


def main() -> None:
    """Write the file."""
    draw = random.Random(1)  # noqa: S311 - samples, the same ones each time
    samples = [_sample(draw) for _ in range(_SAMPLES)]
    trained = zstandard.train_dictionary(_BYTES, samples, level=3)
    _OUT.write_bytes(trained.as_bytes())
    sys.stdout.write(f"{_OUT.name}: {_OUT.stat().st_size} bytes\n")


def _sample(draw: random.Random) -> bytes:
    """The content of a blob of one row."""
    summary = Summary(
        id="0" * 32,
        account_id="a",
        caller="t",
        coordinator="0" * 32,
        status=Status.COMPLETE,
        began_ms=0,
        ended_ms=1,
        targets=("a.example",),
        colos=(ColoName("den01"),),
        options=Options(),
    )
    trace = _trace(draw)
    names, asns = {}, {}
    for node in trace.gathered.replies.nodes:
        text = address_text(node.address)
        if draw.random() < 0.75:
            names[text] = _name(draw, text)
        if draw.random() < 0.9:
            asns[text] = f"AS{draw.choice(_ASNS)}"
    *_, body = body_steps(pack(summary, {0: trace}), Known(names, asns))
    return msgspec.msgpack.encode(body)


def _trace(draw: random.Random) -> Trace:
    hops, each = draw.randrange(5, 25), draw.choice((1, 2, 3, 3, 3, 3, 3, 5, 10))
    wide = draw.random() < 0.2
    base, lines, reached = 2e5, [], draw.random() < 0.9
    by_round = draw.random() < 0.3
    for hop in range(hops):
        base += draw.expovariate(1 / 4e6)
        if draw.random() < 0.12 and hop < hops - 1:
            continue
        for probe in range(each):
            ordinal = probe * hops + hop if by_round else hop * each + probe
            node = (hop, int(draw.random() < 0.03))
            lines.append((int(base + draw.expovariate(1 / 4e5)), hop + 1, node, ordinal))
    lines.sort()
    places: dict[tuple[int, int], int] = {}
    for _, _, node, _ in lines:
        places.setdefault(node, len(places))
    first = draw.randbytes(15 if wide else 2)
    nodes = tuple(
        Node(
            first + draw.randbytes(1 if wide else 2),
            NodeKind.TARGET if hop == hops - 1 and reached else NodeKind.TRANSIT,
            (draw.choice(("!X", "!N", "!H")),) if draw.random() < 0.01 else (),
        )
        for hop, _ in places
    )
    return Trace(
        gathered=Gathered(
            target="a.example",
            colo=Colo(city=draw.choice(("Denver, CO, US", "Singapore, SG", "")), name="den01"),
            target_address=nodes[-1].address,
            sent=(each,) * hops + (1,) * draw.randrange(3),
            replies=Replies(
                tuple(ttl for _, ttl, _, _ in lines),
                tuple(rtt_ns for rtt_ns, _, _, _ in lines),
                tuple(places[node] for _, _, node, _ in lines),
                nodes,
                tuple(ordinal for _, _, _, ordinal in lines),
                (0,) * len(lines),
            ),
            duration_ns=draw.randrange(10**9),
        ),
        began_ms=draw.randrange(30),
        source_address=draw.randbytes(4),
        flows=(_flow(draw),),
    )


def _flow(draw: random.Random) -> FlowFields:
    number = draw.randrange(1 << 16)
    if draw.random() < 0.7:
        return FlowFields(PacketType.ICMP, identifier=number)
    kind = draw.choice((PacketType.UDP, PacketType.TCP))
    return FlowFields(kind, source_port=number, destination_port=draw.choice((80, 443, 33434)))


def _name(draw: random.Random, text: str) -> str:
    """A router's or host's name in one of the usual forms."""
    place, role, port = draw.choice(_PLACES), draw.choice(_ROLES), draw.choice(_PORTS)
    number, end = draw.randrange(1, 40), draw.choice(_ENDS)
    return draw.choice(
        (
            f"{port}-{number}.{role}{number % 9}.{place}{number:02}.{end}",
            f"{port}-0-0-{number}.{role}{number:02}.{place}.{end}",
            f"{port}{number}-{place}-{role}{number % 4}.{end}",
            f"{role}{number}.{place}{number % 5}.{end}",
            f"{place}-{role}{number}-{port}{number}.{end}",
            f"{text.replace('.', '-')}.static.{end}",
            f"ip-{text.replace('.', '-')}.{place}.{end}",
        )
    )


if __name__ == "__main__":
    main()
