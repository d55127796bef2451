"""The agent's own limits (setrlimit(2))."""

import resource

_OPEN_FILES = 65_536
"""Each port of a UDP or TCP flow is held by a socket, in each family: at most 2 x 12,768 of them;
the rest are streams and files."""


def raise_open_files(wanted: int = _OPEN_FILES) -> None:
    """Raise the soft limit on open files to what the agent can use, as far as the hard one allows.

    Never lowers it. A service manager's default of 1,024 is kept low for programs that use
    select(2), which the agent does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
