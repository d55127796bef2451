"""Where a path ends if the target has not answered: one rule for agents and coordinators."""

from collections.abc import Iterable

from .messages import NodeKind


def refused_at(answers: Iterable[tuple[int, NodeKind, bytes]]) -> int | None:
    """The TTL at which a router's refusal ends the path; None if no refusal does.

    `answers` are (TTL, kind, address), in any order. A refusal ends the path only if no other node
    answered at a higher TTL: a router that refuses some packets may forward others. Refusals of the
    same router at higher TTLs do not count as such answers.
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
