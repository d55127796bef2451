"""Open files (RLIMIT_NOFILE): the soft limit, raised at the start.

The soft limit that a shell or systemd gives is 1,024, since programs that call select(2) break
beyond; none here does. So it is raised, as systemd's documentation asks of such programs.
"""

import resource

MOST = 65_536
"""An agent holds a socket for each port of a UDP or TCP flow, in each family: at most 2 x 12,768. A
coordinator takes one descriptor for each connection of a client and each agent's stream."""


def raise_limit(wanted: int = MOST) -> int:
    """Raise the soft limit to `wanted`, or to the hard limit if that is lower; never lower it.

    Returns how many files may be open afterwards.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft >= most:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
