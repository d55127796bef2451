"""A network of kernel routers in namespaces, to trace for real; `topology` draws the map.

    with Lab() as lab:
        lab.run("den01", ["traceroute", "-n", "-I", "web.lab.example"])
        lab.path("den01", "web", family=4)

For tests, the demo and the benchmarks; nothing of it ships.
"""

from lab.access import LabUnavailableError
from lab.names import ALIASES, LAME_DOMAIN
from lab.namespaces import LabError
from lab.network import Lab
from lab.processes import Process
from lab.topology import (
    CLOSED_PORT,
    COLOS,
    DOMAIN,
    DROP_PORT,
    FAMILIES,
    OPEN_PORT,
    Colo,
    Family,
)
from lab.truth import Hop

__all__ = [
    "ALIASES",
    "CLOSED_PORT",
    "COLOS",
    "DOMAIN",
    "DROP_PORT",
    "FAMILIES",
    "LAME_DOMAIN",
    "OPEN_PORT",
    "Colo",
    "Family",
    "Hop",
    "Lab",
    "LabError",
    "LabUnavailableError",
    "Process",
]
