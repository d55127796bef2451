"""TCP traffic of other connections, to the host of an agent: a sender that is paced to the packet.

    host.py              two namespaces and the pair of devices between them
    inside_sender.py     opens real connections, and makes frames that belong to them
    inside_listener.py   the other ends of those connections, beside the agent
    pace.c               sends the frames so many a second

Nothing leaves the two namespaces, which belong to a process and go with it.
"""

from bench.foreign.host import Host

__all__ = ["Host"]
