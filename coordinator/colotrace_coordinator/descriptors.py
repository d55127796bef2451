"""How the limit on open files is divided between clients' connections and agents' streams."""

from dataclasses import dataclass

OWN = 256
"""For the database, the broker, the resolver, files, and connections that are being closed."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many descriptors each may have, of `limit`; `enough` if that is what was wanted."""

    limit: int
    connections: int
    agents: int
    enough: bool


def share(limit: int, *, connections: int, agents: int) -> Share:
    """Divide the limit, so that clients leave agents theirs; where it is too low, a third of what
    is left is the agents'."""
    room = max(limit - OWN, 3)
    if room >= connections + agents:
        return Share(limit, connections, agents, enough=True)
    for_agents = min(agents, max(room // 3, room - connections))
    return Share(limit, room - for_agents, for_agents, enough=False)
