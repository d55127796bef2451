"""The rights of users at the broker."""

from colotrace_coordinator.links.mqtt.rights import access_rights
from colotrace_proto.messages import AgentId, ColoName
from fleet.guarded import access


def blocks(text: str) -> set[str]:
    """The file's parts, one for each user."""
    return {part.strip() for part in text.split("\n\n") if not part.startswith("#")}


def test_rights_are_those_of_the_script_for_users_with_passwords() -> None:
    """The user is the identity, instead of a name that an operator chooses."""
    agents = {
        "0123456789abcdef": (ColoName("den01"), AgentId("den01-a")),
        "fedcba9876543210": (ColoName("sin01"), AgentId("probe.1")),
    }
    words = [f"{colo}/{agent}={user}" for user, (colo, agent) in agents.items()]
    assert blocks(access_rights(agents, coordinator="coordinator")) == blocks(access("acl", *words))
