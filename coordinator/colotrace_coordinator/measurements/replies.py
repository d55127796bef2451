"""The recorded replies of a row, as the API shows them."""

import msgspec
from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Trace
from colotrace_proto.tally import path_end
from msgspec import UNSET, UnsetType


class ReplyShape(msgspec.Struct, frozen=True):
    """A reply: the TTL of its probe, its RTT in milliseconds, as recorded, and who sent it. `flow`
    is the number of the probe's flow, only where load-balanced paths were asked for."""

    ttl: int
    rtt_ms: float
    ip: str
    flow: int | UnsetType = UNSET


def replies_of(trace: Trace, *, multipath: bool) -> list[ReplyShape]:
    """The replies up to the row's end, by TTL, those of one TTL in the order of their arrival.

    Lost probes have none: the row's hops count them.
    """
    table, end = trace.gathered.replies, path_end(trace.gathered)
    addresses = [address_text(node.address) if node.address else "" for node in table.nodes]
    flows: list[int | UnsetType] = [UNSET] * len(table.ttl)
    if multipath:
        numbers = [fields.number for fields in trace.flows]
        for line, flow in enumerate(table.flow):
            if flow < len(numbers):
                flows[line] = numbers[flow]
    found = [
        ReplyShape(ttl, rtt_ns / 1e6, addresses[node], flow)
        for ttl, rtt_ns, node, flow in zip(table.ttl, table.rtt_ns, table.node, flows, strict=True)
        if ttl <= end and addresses[node]
    ]
    found.sort(key=lambda reply: reply.ttl)
    return found
