"""`colotrace agents`: the agents, and what an administrator does with them."""

from typing import TYPE_CHECKING, Annotated

import typer

from .connected import Connection, connected
from .flags import EXIT_CODES, Json, NewCity

if TYPE_CHECKING:
    from colotrace_cli.api.client import Method

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, epilog=EXIT_CODES)

Agent = Annotated[
    str, typer.Argument(metavar="AGENT", help="COLO/AGENT-ID, or its id in the list with --all.")
]


@app.callback()
@connected
def agents(
    *,
    context: typer.Context,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--all",
            envvar="COLOTRACE_ALL",
            help="All agents, attached to any coordinator or to none. Needs the permission admin.",
        ),
    ] = False,
    as_json: Json = False,
    connection: Connection,
) -> None:
    """List the agents, with their colo, version, tags and last trouble.

    Without --all these are the agents that are attached to the coordinator that answers. The
    commands below need the permission admin."""
    if context.invoked_subcommand is not None:
        return
    settings = connection.settings()
    from colotrace_cli import printing, runs
    from colotrace_cli.api import answer, client
    from colotrace_cli.views import fleet

    path = "/fleet/agents" if everywhere else "/agents"
    reply = runs.waited("asking for the agents", client.exchange(settings, "GET", path))
    if everywhere:
        lines = fleet.everywhere(answer.fleet_answer(reply), printing.output())
    else:
        lines = fleet.agents(answer.agents_answer(reply), printing.output())
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines(lines)


@app.command(epilog=EXIT_CODES)
@connected
def drain(*, agent: Agent, as_json: Json = False, connection: Connection) -> None:
    """Give an agent no new jobs. Those that it has go on."""
    _act(connection, agent, "PATCH", {"drained": True}, as_json=as_json)


@app.command(epilog=EXIT_CODES)
@connected
def undrain(*, agent: Agent, as_json: Json = False, connection: Connection) -> None:
    """Give a drained agent jobs again."""
    _act(connection, agent, "PATCH", {"drained": False}, as_json=as_json)


@app.command(epilog=EXIT_CODES)
@connected
def rename(
    *,
    agent: Agent,
    new: Annotated[
        str,
        typer.Argument(metavar="NEW", help="The new id, or COLO/AGENT-ID for another colo, too."),
    ],
    city: NewCity = "",
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Give an agent another id or colo. Its jobs go on; what was measured keeps the old name."""
    colo, _, agent_id = new.rpartition("/")
    change = {"agent_id": agent_id, "colo": colo, "city": city}
    given = {name: value for name, value in change.items() if value}
    _act(connection, agent, "PATCH", given, as_json=as_json)


@app.command(epilog=EXIT_CODES)
@connected
def revoke(*, agent: Agent, as_json: Json = False, connection: Connection) -> None:
    """Refuse an agent and its certificate from now on."""
    _act(connection, agent, "POST", None, below="/revoke", as_json=as_json)


@app.command(epilog=EXIT_CODES)
@connected
def forget(*, agent: Agent, as_json: Json = False, connection: Connection) -> None:
    """Revoke an agent, and list it no more. Another one can enrol under its name."""
    _act(connection, agent, "DELETE", None, as_json=as_json)


@app.command(epilog=EXIT_CODES)
@connected
def enroll(
    *,
    colo: Annotated[
        str, typer.Option(envvar="COLOTRACE_COLO", help="Name of their colo, like den01.")
    ],
    city: Annotated[str, typer.Option(envvar="COLOTRACE_CITY", help='Like "Denver, CO, US".')],
    uses: Annotated[
        int,
        typer.Option(envvar="COLOTRACE_USES", min=1, max=10_000, help="How many agents it enrols."),
    ] = 1,
    expires_s: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_EXPIRES_S", min=1, max=366 * 86_400, help="Valid for so many seconds."
        ),
    ] = 3_600,
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Print a line to paste on probe hosts: it enrols their agents for a colo, and runs them."""
    settings = connection.settings()
    from colotrace_cli import administering, printing

    body = {"colo": colo, "city": city, "uses": uses, "expires_s": expires_s}
    reply = administering.asked(settings, "POST", "/join-tokens", body)
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines([administering.join_command(reply, printing.output())])


def _act(
    connection: Connection,
    agent: str,
    method: "Method",
    body: object,
    *,
    below: str = "",
    as_json: bool,
) -> None:
    settings = connection.settings()
    from colotrace_cli import administering, printing

    path = administering.agent_path(agent) + below
    reply = administering.asked(settings, method, path, body)
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines([administering.agent_line(reply, agent, printing.output())])
