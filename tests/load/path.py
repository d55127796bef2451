"""The path that every simulated agent reports: 15 hops with 3 replies each, the last is the target.

Agents make their frames of it, and clients compare each row of an answer with it.
"""

HOPS, PER_TTL = 15, 3
ROUTERS = tuple(f"198.18.{ttl}.1" for ttl in range(1, HOPS))
RTT_MS = tuple(2 + 30 * hop // (HOPS - 1) for hop in range(HOPS))
"""The RTT of each reply of a hop, from 2 ms to 32 ms."""


def addresses(target: str) -> tuple[str, ...]:
    """The address of each hop on the path to `target`."""
    return (*ROUTERS, target)
