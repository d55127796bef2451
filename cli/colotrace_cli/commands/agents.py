"""`colotrace agents`: the agents, and what an administrator does with them."""

from typing import Annotated

import typer
from colotrace_proto.spans import seconds_in

from .connected import Connection, connected
from .flags import EXIT_CODES, Json, NewCity

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
    from colotrace_cli.api.shapes import AgentState, FleetAgent
    from colotrace_cli.views import fleet

    path = "/fleet/agents" if everywhere else "/agents"
    reply = runs.waited("asking for the agents", client.exchange(settings, "GET", path))
    if everywhere:
        found = answer.result_answer(reply, list[FleetAgent])
        lines = fleet.everywhere(found, printing.output())
    else:
        lines = fleet.agents(answer.result_answer(reply, list[AgentState]), printing.output())
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines(lines)


@app.command(epilog=EXIT_CODES)
@connected
def drain(*, agent: Agent, as_json: Json = False, connection: Connection) -> None:
    """Give an agent no new jobs. Those that it has go on."""
    _change(connection, agent, {"drained": True}, as_json=as_json)


@app.command(epilog=EXIT_CODES)
@connected
def undrain(*, agent: Agent, as_json: Json = False, connection: Connection) -> None:
    """Give a drained agent jobs again."""
    _change(connection, agent, {"drained": False}, as_json=as_json)


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
    _change(connection, agent, given, as_json=as_json)


@app.command(epilog=EXIT_CODES)
@connected
def revoke(*, agent: Agent, as_json: Json = False, connection: Connection) -> None:
    """Refuse an agent and its certificate from now on."""
    settings = connection.settings()
    from colotrace_cli import administering

    path = administering.agent_path(agent) + "/revoke"
    administering.administer(settings, "POST", path, line=administering.agent_line, as_json=as_json)


@app.command(epilog=EXIT_CODES)
@connected
def forget(*, agent: Agent, as_json: Json = False, connection: Connection) -> None:
    """Revoke an agent, and list it no more. Another one can enrol under its name."""
    settings = connection.settings()
    from colotrace_cli import administering

    administering.administer(
        settings,
        "DELETE",
        administering.agent_path(agent),
        line=administering.forgotten_line(agent),
        as_json=as_json,
    )


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
    expires: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_EXPIRES", metavar="TIME", help="How long it is valid: 30m, 1h, 7d."
        ),
    ] = "1h",
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Print a line to paste on probe hosts: it enrols their agents for a colo, and runs them."""
    settings = connection.settings()
    from colotrace_cli import administering

    try:
        expires_s = seconds_in(expires)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expires") from error
    body = {"colo": colo, "city": city, "uses": uses, "expires_s": expires_s}
    administering.administer(
        settings, "POST", "/join-tokens", body, line=administering.join_command, as_json=as_json
    )


def _change(connection: Connection, agent: str, change: object, *, as_json: bool) -> None:
    settings = connection.settings()
    from colotrace_cli import administering

    path = administering.agent_path(agent)
    administering.administer(
        settings, "PATCH", path, change, line=administering.agent_line, as_json=as_json
    )
