"""What the agent cannot do yet: packet types without probes, and cases that are known to fail."""

from colotrace_agent.packets.formats import PACKET_TYPES

from scenario.kinds import ProbeType
from scenario.load import Run

# By case: why it fails, and in which families and packet types (none named: in all).
KNOWN: dict[str, tuple[str, frozenset[str]]] = {}


def traceable(packet_type: ProbeType) -> bool:
    """Whether the agent traces with that packet type."""
    return PACKET_TYPES.issuperset(packet_type.protocols)


def known_fault(run: Run) -> str | None:
    """Return why the run is known to fail, None where it should not."""
    reason, where = KNOWN.get(run.case.name, (None, frozenset[str]()))
    return reason if f"v{run.family}-{run.packet_type}" in where or not where else None
