"""Open files (RLIMIT_NOFILE): the soft limit, raised at the start.

The default soft limit is 1,024, for programs that call select(2). These programs do not, so they
raise it, as systemd's documentation recommends.
"""

import resource

MOST = 65_536
"""An agent holds a socket for each port of a UDP or TCP flow, in each family: at most 2 x 12,768. A
coordinator takes one descriptor for each connection of a client and each agent's stream."""


def raise_limit(wanted: int = MOST) -> int:
    """Raise the soft limit to `wanted`, or to the hard limit if that is lower; never lower it.

    Returns the resulting soft limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft >= most:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
