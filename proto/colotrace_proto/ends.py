"""Where a path ends that the target has not answered on: one rule for agents and coordinators."""

from collections.abc import Iterable

from .messages import NodeKind


def refused_at(answers: Iterable[tuple[int, NodeKind, bytes]]) -> int | None:
    """The TTL at which a router's refusal ends the path; None where none does.

    `answers` are (TTL, kind, address), in any order. A refusal ends the path only if no other node
    answered further on: a router that refuses some packets may forward others. What the same
    router refuses at higher TTLs is no answer from further on.
    """
    refusals: list[int] = []
    furthest = 0
    refusers: dict[bytes, int] = {}
    for ttl, kind, address in answers:
        if kind is NodeKind.BARRIER:
            refusals.append(ttl)
            refusers[address] = min(refusers.get(address, ttl), ttl)
        else:
            furthest = max(furthest, ttl)
    furthest = max(furthest, *refusers.values(), 0)
    return min((ttl for ttl in refusals if ttl >= furthest), default=None)
