"""How an agent is named throughout the coordinator."""

from typing import NamedTuple, Self

from colotrace_proto.messages import AgentId, ColoName, Hello

AgentName = tuple[ColoName, AgentId]
"""How operators name an agent: an id is unique in its colo only."""


class AgentKey(NamedTuple):
    """One process of an agent: after a restart the agent has another boot id.

    A tuple, since it is hashed several times for each message.
    """

    agent_id: AgentId
    boot_id: bytes

    @classmethod
    def of(cls, hello: Hello) -> Self:
        """The process that sent this Hello."""
        return cls(hello.agent_id, hello.boot_id)
