"""Results of traceroutes as RIPE Atlas writes them, one in a line for each target and colo.

Source: the measurement result format, version 5000, of the RIPE Atlas documentation. Probes of RIPE
Atlas have numbers, colos and measurements have not: `prb_id` is made of the colo's name, `msm_id`
of the measurement's id, both above all numbers of RIPE Atlas and exact as a double. The keys
`colo`, `city` and `measurement` have the originals. `proto` can also be GRE, or GRE+ICMP.
"""

import zlib
from collections.abc import Iterator

from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Measured
from colotrace_proto.text import safe

from .answers import Answer, by_ttl, is_ipv6, mpls_stack, probe_size, quoted_ttl, refusal
from .shown import Row, each, json_parts, pieces

_FIRMWARE = 5000
"""Names the version of the format."""
_FIRST_PROBE, _FIRST_MEASUREMENT = 1 << 32, 1 << 52
_RANDOM_DIGITS = 12
"""The last digits of a measurement's id, which are random."""
_IP_HEADER = (20, 40)
# RIPE Atlas has letters for these; others are told by their code.
_LETTERS = {"N": "N", "H": "H", "P": "P", "X": "A"}
_MOST_OF_AN_ERROR = 1_000
_NS_PER_MS, _MS_PER_S = 10**6, 1_000


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """A line for each row."""
    del follows
    return pieces(_parts(measured))


def _parts(measured: Measured) -> Iterator[str]:
    for row in each(measured):
        yield from json_parts(_head(row), "result", _hops(row))
        yield "\n"


def measurement_number(measurement_id: str) -> int:
    """The `msm_id` of a measurement."""
    return _FIRST_MEASUREMENT | int(measurement_id[-_RANDOM_DIGITS:] or "0", 16)


def probe_number(colo: str) -> int:
    """The `prb_id` of a colo."""
    return _FIRST_PROBE | zlib.crc32(colo.encode("utf-8", "surrogatepass"))


def _head(row: Row) -> dict[str, object]:
    """The result without its hops."""
    gathered, options, colo = row.trace.gathered, row.summary.options, row.shown.colo
    ipv6 = is_ipv6(row)
    result: dict[str, object] = {
        "fw": _FIRMWARE,
        "lts": -1,  # whether the host's clock is right is not known
        "endtime": (row.trace.began_ms + gathered.duration_ns // _NS_PER_MS) // _MS_PER_S,
        "dst_name": safe(row.target),
        "proto": options.packet_type.upper(),
        "size": probe_size(row) - _IP_HEADER[ipv6],
        "paris_id": options.flow,
        "msm_id": measurement_number(row.summary.id),
        "prb_id": probe_number(colo.name),
        "timestamp": row.trace.began_ms // _MS_PER_S,
        "msm_name": "Traceroute",
        "from": "",
        "type": "traceroute",
        "measurement": row.summary.id,
        "colo": safe(colo.name),
        "city": safe(colo.city),
    }
    if gathered.target_address:
        result |= {"af": 6 if ipv6 else 4, "dst_addr": address_text(gathered.target_address)}
    if row.trace.source_address:
        source = address_text(row.trace.source_address)
        result |= {"src_addr": source, "from": source}
    return result


def _hops(row: Row) -> Iterator[dict[str, object]]:
    ipv6 = is_ipv6(row)
    hops = row.shown.hops
    for hop, answers in zip(hops, by_ttl(row), strict=True):
        results = [_reply(answer, ipv6=ipv6) for answer in answers]
        results += [{"x": "*"}] * hop.packets_lost
        yield {"hop": hop.packets_ttl, "result": results}
    if row.shown.error:
        reason = "; ".join([row.shown.error, *(remark.text for remark in row.trace.remarks)])
        error: dict[str, object] = {"error": safe(reason, most=_MOST_OF_AN_ERROR)}
        # RIPE Atlas has no hop either where the name was not resolved.
        yield {"hop": len(hops) + 1, **error} if hops else error


def _reply(answer: Answer, *, ipv6: bool) -> dict[str, object]:
    node = answer.node
    reply: dict[str, object] = {
        "from": address_text(node.address),
        "rtt": round(answer.rtt_ms, 3),
    }
    refused = refusal(node.labels, ipv6=ipv6)
    if refused is not None:
        if refused.mtu is not None:
            reply["mtu"] = refused.mtu
        elif refused.letter in _LETTERS:
            reply["err"] = _LETTERS[refused.letter]
        elif refused.code is not None:
            reply["err"] = refused.code
    left = quoted_ttl(node.labels)
    if left is not None:
        reply["ittl"] = left
    stack = mpls_stack(node.labels)
    if stack:
        entries = [{"label": m.label, "exp": m.exp, "s": m.s, "ttl": m.ttl} for m in stack]
        reply["icmpext"] = {"version": 2, "obj": [{"class": 1, "type": 1, "mpls": entries}]}
    return reply
