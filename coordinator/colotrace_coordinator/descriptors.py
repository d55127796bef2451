"""Division of the limit on open files between clients' connections and agents' streams."""

from dataclasses import dataclass

OWN = 256
"""Reserved for the database, the broker, the resolver, files, and connections being closed."""


@dataclass(frozen=True, slots=True)
class Share:
    """Descriptors for each, of `limit`; `enough` if that is as many as requested."""

    limit: int
    connections: int
    agents: int
    enough: bool


def share(limit: int, *, connections: int, agents: int) -> Share:
    """Divide the limit. If it is too low for both, agents get a third of what is not reserved."""
    room = max(limit - OWN, 3)
    if room >= connections + agents:
        return Share(limit, connections, agents, enough=True)
    for_agents = min(agents, max(room // 3, room - connections))
    return Share(limit, room - for_agents, for_agents, enough=False)
