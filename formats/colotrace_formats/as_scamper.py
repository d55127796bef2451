"""Traces as `scamper -O json` and sc_warts2json write them, one in a line for each target and colo.

Source: sc_warts2json(1), "JSON format for trace". scamper's `probe_id` is the number of the attempt
at a hop, from 1. Which attempt an answer belongs to is not recorded, so it numbers the answers of a
hop. A key `colo` is added. Absent are `tx`, what was in the reply's IP header (`reply_*`) and what
it quoted (`icmp_q_*`), and ICMP type and code where they are not recorded.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Measured, Status
from colotrace_proto.messages import NodeKind, PacketType
from colotrace_proto.tally import Known
from colotrace_proto.text import safe

from .answers import Answer, by_ttl, icmp_answer, is_ipv6, mpls_stack, probe_size, refusal
from .shown import Row, each, json_parts, json_text, pieces

_METHODS = {PacketType.ICMP: "icmp-echo-paris", PacketType.UDP: "udp-paris"}
_HAS_PORTS = (PacketType.UDP, PacketType.TCP)
_MS_PER_S = 1_000
_MPLS_ENTRY = 4
"""Bytes of an entry of a label stack."""


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """A line for each row."""
    del follows
    return pieces(_parts(measured))


def _parts(measured: Measured) -> Iterator[str]:
    for row in each(measured):
        hops = by_ttl(row)
        head = _head(row, hops)
        if any(hops):
            yield from json_parts(head, "hops", _hops(row, hops))
            yield "\n"
        else:
            yield json_text(head) + "\n"


def _head(row: Row, hops: Sequence[Sequence[Answer]]) -> dict[str, object]:
    """The trace without its hops."""
    gathered, options = row.trace.gathered, row.summary.options
    began_s, rest_ms = divmod(row.trace.began_ms, _MS_PER_S)
    reason, data = _stop(row, hops)
    trace: dict[str, object] = {
        "type": "trace",
        "version": "0.1",
        "userid": 0,
        "method": _METHODS.get(options.packet_type, str(options.packet_type)),
    }
    if row.trace.source_address:
        trace["src"] = address_text(row.trace.source_address)
    # Of a name that was not resolved there is no address; readers need the key.
    address = gathered.target_address
    trace["dst"] = address_text(address) if address else safe(row.target)
    if options.packet_type in _HAS_PORTS and row.trace.flows:
        flow = row.trace.flows[0]
        trace |= {"sport": flow.source_port, "dport": flow.destination_port}
    return trace | {
        "stop_reason": reason,
        "stop_data": data,
        "start": {"sec": began_s, "usec": rest_ms * 1_000, "ftime": _ftime(began_s)},
        "hop_count": len(hops),
        "attempts": options.packets_per_ttl,
        "hoplimit": options.max_ttl,
        "firsthop": 1,
        "wait": -(-options.wait_ms // _MS_PER_S),
        "wait_probe": 0,
        "tos": 0,
        "probe_size": probe_size(row),
        "probe_count": sum(gathered.sent),
        "colo": safe(row.shown.colo.name),
    }


def _hops(row: Row, hops: Sequence[Sequence[Answer]]) -> Iterator[dict[str, object]]:
    size = probe_size(row)
    for ttl, answers in enumerate(hops, 1):
        for number, answer in enumerate(answers, 1):
            yield _hop(answer, row, ttl=ttl, number=number, size=size)


def _stop(row: Row, hops: Sequence[Sequence[Answer]]) -> tuple[str, int]:
    """Why the trace ended, in scamper's words, and what it says beside."""
    if row.shown.target_summary.packet_count:
        return "COMPLETED", 0
    if row.shown.error:
        return "ERROR", 0
    last = hops[-1] if hops else ()
    for answer in last:
        if answer.node.kind is NodeKind.BARRIER:
            refused = refusal(answer.node.labels, ipv6=is_ipv6(row))
            return "UNREACH", refused.code or 0 if refused else 0
    if row.summary.status is Status.RUNNING:
        return "NONE", 0
    if len(hops) >= row.summary.options.max_ttl:
        return "HOPLIMIT", 0
    return "GAPLIMIT", 0


def _hop(answer: Answer, row: Row, *, ttl: int, number: int, size: int) -> dict[str, object]:
    node = answer.node
    hop: dict[str, object] = {"addr": address_text(node.address)}
    hop |= _name(node.address, row.known)
    hop |= {"probe_ttl": ttl, "probe_id": number, "probe_size": size}
    hop["rtt"] = round(answer.rtt_ms, 3)
    ipv6 = is_ipv6(row)
    icmp = icmp_answer(node, row.summary.options.packet_type, ipv6=ipv6)
    if icmp is not None:
        hop |= {"icmp_type": icmp[0], "icmp_code": icmp[1]}
    refused = refusal(node.labels, ipv6=ipv6)
    if refused is not None and refused.mtu is not None:
        hop["icmp_nhmtu"] = refused.mtu
    stack = mpls_stack(node.labels)
    if stack:
        entries = [
            {"mpls_ttl": m.ttl, "mpls_s": m.s, "mpls_exp": m.exp, "mpls_label": m.label}
            for m in stack
        ]
        size = _MPLS_ENTRY * len(stack)
        hop["icmpext"] = [{"ie_cn": 1, "ie_ct": 1, "ie_dl": size, "mpls_labels": entries}]
    return hop


def _name(address: bytes, known: Known) -> dict[str, object]:
    name = known.names.get(address_text(address))
    return {"name": safe(name)} if name else {}


def _ftime(unix_s: int) -> str:
    """scamper writes local time; this is UTC."""
    try:
        return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError):
        return ""
