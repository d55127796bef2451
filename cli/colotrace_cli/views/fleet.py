"""The tables of colos and of agents."""

from collections.abc import Sequence

from colotrace_proto.layout import TextOutput

from colotrace_cli.api.shapes import AgentState, ColoState, FleetAgent

from .tables import family, table
from .times import short_time

_COLOS = ("colo", "city", "state", "agents", "families", "packet types")
_AGENTS = (
    "colo",
    "agent",
    "host",
    "version",
    "since",
    "families",
    "packet types",
    "cpu",
    "memory",
    "tags",
    "last trouble",
)
_FLEET = (
    "colo",
    "agent",
    "host",
    "state",
    "attached",
    "version",
    "families",
    "cpu",
    "memory",
    "certificate ends",
    "last trouble",
)


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
            on.text(agent.host),
            on.text(agent.version, most=20),
            short_time(agent.attached_since, on),
            _families(agent.families, on),
            _types(agent.packet_types, on),
            _cpu(agent.cpu_millis),
            _memory(agent.memory_bytes),
            " ".join(on.text(f"{key}={value}") for key, value in sorted(agent.tags.items())[:16]),
            on.text(agent.last_trouble or "", most=200),
        )
        for agent in known
    ]
    return _without_empty(_AGENTS, body, on)


def everywhere(known: Sequence[FleetAgent], on: TextOutput) -> list[str]:
    """A line for each agent of the fleet, or several on a narrow terminal."""
    if not known:
        return ["no agent has enrolled: colotrace agents enroll prints the line for a probe host"]
    body = [
        (
            on.text(agent.colo),
            on.text(agent.agent_id),
            on.text(agent.host),
            on.text(agent.state, most=20),
            _attached(agent, on),
            on.text(agent.version, most=20),
            _families(agent.families, on),
            _cpu(agent.cpu_millis),
            _memory(agent.memory_bytes),
            short_time(agent.certificate_ends_at, on) if agent.certificate_ends_at else "-",
            on.text(agent.last_trouble or "", most=200),
        )
        for agent in known
    ]
    return _without_empty(_FLEET, body, on)


def _without_empty(
    names: Sequence[str], body: Sequence[tuple[str, ...]], on: TextOutput
) -> list[str]:
    """The table without the columns that are empty in every row: they say nothing."""
    kept = [at for at, cells in enumerate(zip(*body, strict=True)) if any(cells)]
    head = [names[at] for at in kept]
    rows = [[cells[at] for at in kept] for cells in body]
    elastic = head.index("last trouble") if "last trouble" in head else head.index("agent")
    return table(head, rows, on, elastic=elastic, right=("cpu", "memory"))


def _attached(agent: FleetAgent, on: TextOutput) -> str:
    if agent.attached_since:
        return f"since {short_time(agent.attached_since, on)}"
    return f"no, seen {short_time(agent.last_seen_at, on)}" if agent.last_seen_at else "never"


def _cpu(millis: int | None) -> str:
    return "" if millis is None else f"{millis / 10:.1f} %"


def _memory(size: int | None) -> str:
    return "" if size is None else f"{size / (1 << 20):.0f} MiB"


def _families(names: Sequence[str], on: TextOutput) -> str:
    return " ".join(family(name, on) for name in names[:4])


def _types(names: Sequence[str], on: TextOutput) -> str:
    return " ".join(on.text(name, most=20) for name in names[:16])
