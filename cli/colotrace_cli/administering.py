"""What administrators ask for, and what is said of the answers."""

from urllib.parse import quote

import msgspec
from colotrace_proto.layout import TextOutput

from .api import answer, client
from .api.client import Method, Reply
from .runs import waited
from .settings import Settings


def asked(settings: Settings, method: Method, path: str, body: object) -> Reply:
    """The answer to a request about the fleet.

    Raises:
        RequestError: it failed.
    """
    content = None if body is None else msgspec.json.encode(body)
    work = client.exchange(settings, method, f"/fleet{path}", body=content)
    reply = waited("asking the coordinator", work)
    answer.checked(reply)
    return reply


def agent_path(name: str) -> str:
    """The path of an agent, which is named by its id or as COLO/AGENT-ID."""
    return "/agents/" + quote(name.replace("/", ":", 1), safe=":")


def colo_path(name: str) -> str:
    """The path of a colo."""
    return "/colos/" + quote(name, safe="")


def agent_line(reply: Reply, named: str, on: TextOutput) -> str:
    """What an agent is called now, and its state."""
    agent = answer.one_of_fleet(reply)
    if not agent.agent_id:
        return f"{on.text(named)}: forgotten"
    return f"{on.text(agent.colo)}/{on.text(agent.agent_id)}: {on.text(agent.state, most=20)}"


def colo_line(reply: Reply, on: TextOutput) -> str:
    """What a colo is called now, and how many agents it has."""
    colo = answer.renamed_colo(reply)
    return f"{on.text(colo.name)}: {colo.agents} agent{'' if colo.agents == 1 else 's'}"


def join_command(reply: Reply, on: TextOutput) -> str:
    """The line to paste on probe hosts."""
    return on.text(answer.join_token(reply).command, most=2_000)
