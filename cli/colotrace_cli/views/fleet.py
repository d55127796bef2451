"""The tables of colos and of agents."""

from collections.abc import Sequence

from colotrace_proto.layout import TextOutput

from colotrace_cli.api.shapes import AgentState, ColoState

from .tables import family, table
from .times import short_time

_COLOS = ("colo", "city", "state", "agents", "families", "packet types")
_AGENTS = ("colo", "agent", "version", "since", "families", "packet types", "tags", "last trouble")


def colos(known: Sequence[ColoState], on: TextOutput) -> list[str]:
    """A line for each colo, or several on a narrow terminal."""
    if not known:
        return ["no colos yet: start an agent with colotrace-agent run"]
    body = [
        (
            on.text(colo.name),
            on.text(colo.city),
            on.text(colo.state, most=20),
            str(colo.agents),
            _families(colo.families, on),
            _types(colo.packet_types, on),
        )
        for colo in known
    ]
    return table(_COLOS, body, on, elastic=1, right=("agents",))


def agents(known: Sequence[AgentState], on: TextOutput) -> list[str]:
    """A line for each agent, or several on a narrow terminal."""
    if not known:
        return ["no agent is attached: start one with colotrace-agent run"]
    body = [
        (
            on.text(agent.colo),
            on.text(agent.id),
            on.text(agent.version, most=20),
            short_time(agent.attached_since, on),
            _families(agent.families, on),
            _types(agent.packet_types, on),
            " ".join(on.text(f"{key}={value}") for key, value in sorted(agent.tags.items())[:16]),
            on.text(agent.last_trouble or "", most=200),
        )
        for agent in known
    ]
    # Columns that are empty in every row say nothing.
    kept = [at for at, cells in enumerate(zip(*body, strict=True)) if any(cells)]
    head = [_AGENTS[at] for at in kept]
    rows = [[cells[at] for at in kept] for cells in body]
    elastic = head.index("last trouble") if "last trouble" in head else head.index("agent")
    return table(head, rows, on, elastic=elastic)


def _families(names: Sequence[str], on: TextOutput) -> str:
    return " ".join(family(name, on) for name in names[:4])


def _types(names: Sequence[str], on: TextOutput) -> str:
    return " ".join(on.text(name, most=20) for name in names[:16])
