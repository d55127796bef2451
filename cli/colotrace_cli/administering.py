"""Requests of administrators: to change agents and colos of the fleet, and for join tokens."""

from collections.abc import Callable
from urllib.parse import quote

import msgspec
from colotrace_proto.layout import TextOutput

from . import printing
from .api import answer, client
from .api.client import Method, Reply
from .api.shapes import FleetAgent, NewJoinToken, RenamedColo
from .runs import waited
from .settings import Settings


def administer(
    settings: Settings,
    method: Method,
    path: str,
    body: object = None,
    *,
    line: Callable[[Reply, TextOutput], str],
    as_json: bool,
) -> None:
    """Send a request about the fleet, and print the answer: as JSON, or as `line` says it.

    Raises:
        RequestError: it failed.
    """
    content = None if body is None else msgspec.json.encode(body)
    work = client.exchange(settings, method, f"/fleet{path}", body=content)
    reply = waited("asking the coordinator", work)
    text = line(reply, printing.output())
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines([text])


def agent_path(name: str) -> str:
    """The path of an agent, which is named by its id or as COLO/AGENT-ID."""
    return "/agents/" + quote(name.replace("/", ":", 1), safe=":")


def colo_path(name: str) -> str:
    """The path of a colo."""
    return "/colos/" + quote(name, safe="")


def agent_line(reply: Reply, on: TextOutput) -> str:
    """An agent's name, and its state.

    Raises:
        RequestError: the request failed.
    """
    agent = answer.result_answer(reply, FleetAgent)
    return f"{on.text(agent.colo)}/{on.text(agent.agent_id)}: {on.text(agent.state, most=20)}"


def colo_line(reply: Reply, on: TextOutput) -> str:
    """A colo's name, and how many agents it has.

    Raises:
        RequestError: the request failed.
    """
    colo = answer.result_answer(reply, RenamedColo)
    return f"{on.text(colo.name)}: {colo.agents} agent{'' if colo.agents == 1 else 's'}"


def forgotten_line(name: str) -> Callable[[Reply, TextOutput], str]:
    """What says that an agent or colo was forgotten."""

    def line(reply: Reply, on: TextOutput) -> str:
        answer.result_answer(reply, dict[str, str])
        return f"{on.text(name)}: forgotten"

    return line


def join_command(reply: Reply, on: TextOutput) -> str:
    """The line to paste on probe hosts.

    Raises:
        RequestError: the request failed.
    """
    return on.text(answer.result_answer(reply, NewJoinToken).command, most=2_000)
