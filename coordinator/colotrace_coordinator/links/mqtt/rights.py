"""What users may do at the broker, as Mosquitto's `acl_file`.

The user of an agent is its identity, the common name of its certificate. The topics are those of
its colo and its id, so that nobody can publish the presence of another agent.
"""

from collections.abc import Mapping
from typing import TypeVar

from colotrace_proto import bus
from colotrace_proto.messages import AgentId, ColoName

User = TypeVar("User", bound=str)
_HEAD = "# Written by colotrace-coordinator broker files; do not edit."


def access_rights(agents: Mapping[User, tuple[ColoName, AgentId]], *, coordinator: str) -> str:
    """The file's content. `agents`: colo and id of each agent, by its user; `coordinator`: the user
    of all coordinators. Whoever is not listed has no rights."""
    blocks = [_HEAD, _coordinator(coordinator)]
    blocks += [_agent(user, *name) for user, name in sorted(agents.items())]
    return "\n\n".join(blocks) + "\n"


def _coordinator(user: str) -> str:
    exchanged = bus.COORDINATORS, bus.coordinator("+")
    anywhere = ColoName("+")
    write = [bus.jobs(anywhere), f"{bus.jobs(anywhere)}/+/+", bus.cancels(anywhere), *exchanged]
    return _block(user, write=write, read=[bus.ALL_AGENTS, *exchanged])


def _agent(user: str, colo: ColoName, agent_id: AgentId) -> str:
    presence = f"{bus.agents(colo)}/{agent_id}/+"
    own_jobs = f"{bus.jobs(colo)}/{agent_id}/+"
    read = [presence, bus.jobs(colo), own_jobs, bus.cancels(colo)]
    return _block(user, write=[presence], read=read)


def _block(user: str, *, write: list[str], read: list[str]) -> str:
    return "\n".join(
        [
            f"user {user}",
            *(f"topic write {topic}" for topic in write),
            *(f"topic read {topic}" for topic in read),
        ]
    )
