"""Open files (RLIMIT_NOFILE): each connection of a client takes one, and each agent's stream.

The soft limit that a shell or systemd gives is 1,024, since programs that call select(2) break
beyond; none here does. So it is raised, as systemd's documentation asks of such programs.
"""

import resource
from dataclasses import dataclass

OWN = 256
"""For the database, the broker, the resolver, files, and connections that are being closed."""
_RAISED_TO = 65_536


@dataclass(frozen=True, slots=True)
class Share:
    """How many descriptors each may have, of `limit`; `enough` if that is what was wanted."""

    limit: int
    connections: int
    agents: int
    enough: bool


def raise_limit() -> int:
    """The number of files that may be open, after raising the soft limit as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _RAISED_TO if hard == resource.RLIM_INFINITY else min(hard, _RAISED_TO)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return _RAISED_TO if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def share(limit: int, *, connections: int, agents: int) -> Share:
    """Divide the limit, so that clients leave agents theirs; where it is too low, a third of what
    is left is the agents'."""
    room = max(limit - OWN, 3)
    if room >= connections + agents:
        return Share(limit, connections, agents, enough=True)
    for_agents = min(agents, max(room // 3, room - connections))
    return Share(limit, room - for_agents, for_agents, enough=False)
