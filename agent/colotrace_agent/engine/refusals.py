"""Who refused a trace's probes by "port unreachable": the target, or a firewall on the way.

A refusal from another address than the target's fits both. The whole trace tells them apart:

- A node that answered "time exceeded" forwards packets to the target, so it is not the target.
- If another node answered further on, the refuser forwarded that probe, so it is not the target.

Where neither is seen, the address decides, and the result says that it is uncertain. Routers of
one network have neighbouring addresses. A refuser whose address is nearer to those of the routers
on the path, or to the prober's own, than to the target's is taken for a firewall. So is the first
hop. Any other address is taken for one of the target's own.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from colotrace_proto.messages import NodeKind

from colotrace_agent.model import Reply

# Leading bits that addresses of one network share at least, by address length in bytes: about what
# registries assign to one operator.
_NETWORK_BITS = {4: 16, 16: 32}


class Refuser(NamedTuple):
    """A node that answered "port unreachable" from another address than the target's.

    `ttl` is the lowest at which it did. `is_target` is what it is taken for; the trace does not
    prove it.
    """

    ttl: int
    address: bytes
    is_target: bool


class Settled(NamedTuple):
    """The doubtful refusals with their final kinds and labels, and the refusers that are still
    uncertain, by TTL."""

    replies: list[Reply]
    uncertain: tuple[Refuser, ...]


def settle(
    doubtful: Sequence[Reply],
    others: Sequence[Reply],
    *,
    source: bytes,
    target: bytes,
    forwarders: Collection[bytes] = (),
) -> Settled:
    """Decide whose the `doubtful` refusals are; `others` are the trace's other answers.

    The doubtful ones come as a router's refusals, and their first label says so. `forwarders` are
    nodes that answered "time exceeded" to other flows to the same target.
    """
    lowest: dict[bytes, int] = {}
    for reply in doubtful:
        lowest[reply.address] = min(lowest.get(reply.address, reply.ttl), reply.ttl)
    passed = {reply.address for reply in others if reply.kind is NodeKind.TRANSIT}
    passed.update(forwarders)
    furthest = [*lowest.items(), *((reply.address, reply.ttl) for reply in others)]
    uncertain = []
    for address, ttl in lowest.items():
        if address in passed or any(at > ttl and other != address for other, at in furthest):
            continue  # it forwards probes, so it is not the target
        routers = max(_common_bits(address, each) for each in (source, *passed))
        own = _common_bits(address, target)
        enough = _NETWORK_BITS[len(address)]
        near_routers = ttl == 1 or routers >= enough
        near_target = own >= enough and own >= routers
        uncertain.append(Refuser(ttl, address, near_target or not near_routers))
    targets = {each.address for each in uncertain if each.is_target}
    replies = [
        reply._replace(kind=NodeKind.TARGET, labels=reply.labels[1:])
        if reply.address in targets
        else reply
        for reply in doubtful
    ]
    return Settled(replies, tuple(sorted(uncertain)))


def _common_bits(one: bytes, other: bytes) -> int:
    """Leading bits that two packed addresses of one family share."""
    different = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return 8 * len(one) - different.bit_length()
