"""Recorded measurements of an invented network, as large as asked for.

Each colo has five routers of its own. From there on, paths join: sixty routers in the middle, of
which each colo passes three, then a tree towards the targets. All has 15 hops and 3 replies a hop.
"""

import random
from ipaddress import ip_address

from colotrace_proto import rows
from colotrace_proto.measured import Measured, Trace
from colotrace_proto.messages import ColoName, FlowFields, Node, NodeKind, PacketType
from colotrace_proto.tally import Known
from recorded import complete, summary, trace

_OWN, _REPLIES = 5, 3
_CORE = [ip_address(f"198.18.0.{number}").packed for number in range(200)]


def measurement(
    *, colos: int, targets: int, seed: int = 0, moved: float = 0.0, slow: float = 0.0
) -> Measured:
    """One measurement. RTTs depend on the seed. That part of the rows passes another router at hop
    9; that part of the colos is 100 ms slower."""
    drawn = random.Random(seed)
    names = tuple(ColoName(f"c{number:03}") for number in range(colos))
    traces = {}
    asns = {}
    for target in range(targets):
        for colo in range(colos):
            path = _path(colo, target)
            if drawn.random() < moved:
                path[8] = _CORE[199]
            late_ms = 100.0 * (colo < slow * colos)
            traces[target * colos + colo] = _trace(
                path, f"t{target}", names[colo], drawn, late_ms=late_ms
            )
            for place, address in enumerate(path):
                asns[str(ip_address(address))] = f"AS{64_500 + place // 3}"
    begun = summary(
        id=f"{seed:032x}",
        targets=[f"t{target}" for target in range(targets)],
        colos=names,
        began_ms=0,
    )
    return Measured(summary=complete(begun, ended_ms=1), traces=traces, known=Known({}, asns))


def _path(colo: int, target: int) -> list[bytes]:
    own = [ip_address(f"10.{colo >> 8}.{colo & 255}.{n}").packed for n in range(1, _OWN + 1)]
    middle = [_CORE[(7 * colo + number) % 60] for number in range(3)]
    joining = [_CORE[60 + (colo + target) % 20 + 20 * number] for number in range(3)]
    last = [_CORE[number + target % 10] for number in (160, 170, 180)]
    return [*own, *middle, *joining, *last, ip_address(f"203.0.113.{target + 1}").packed]


def _trace(
    path: list[bytes], target: str, colo: ColoName, drawn: random.Random, *, late_ms: float
) -> Trace:
    kinds = [NodeKind.TRANSIT] * (len(path) - 1) + [NodeKind.TARGET]
    hops = [
        [(node, 2 * place + drawn.random() + late_ms) for _ in range(_REPLIES)]
        for place, node in enumerate(map(Node, path, kinds))
    ]
    return trace(
        [hops],
        target_address=path[-1],
        target=target,
        colo=rows.Colo(city=f"City of {colo}", name=colo),
        fields=[FlowFields(PacketType.ICMP, identifier=5)],
        source_address=path[0],
        duration_ns=100_000_000,
    )
