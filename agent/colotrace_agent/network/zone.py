"""The zone of a link-local address (RFC 4007)."""

import os
import socket

from colotrace_agent import labels


def zone_label(index: int) -> str:
    """`%eth0` for the interface with that index; `%7` if it no longer exists."""
    try:
        name = socket.if_indextoname(index)
    except OSError:
        name = str(index)
    return labels.zone(os.fsencode(name))
