"""TCP traffic of other connections to an agent's host, at an exact rate.

    host.py              two namespaces with a pair of devices between them
    inside_sender.py     opens real connections, and builds frames that belong to them
    inside_listener.py   accepts these connections on the agent's host
    pace.c               sends the frames at a rate

The traffic stays inside the two namespaces, which end with the processes that hold them.
"""

from bench.foreign.host import Host

__all__ = ["Host"]
