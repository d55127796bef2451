"""The command lines of `agent` and `colo`."""

from typing import Annotated

import typer

from .options import EXIT_CODES, Data, DatabaseUrl, group

colos = group("Known colos, including those without an attached agent.")
agents = group("Agents: those that are enrolled or were seen, and join tokens.")

Json = Annotated[bool, typer.Option("--json", envvar="COLOTRACE_JSON", help="As JSON.")]
NewCity = Annotated[
    str, typer.Option(envvar="COLOTRACE_CITY", help='The city, if it changes: "Golden, CO, US".')
]


@colos.command("list", epilog=EXIT_CODES)
def list_colos(data: Data = None, database: DatabaseUrl = None, json: Json = False) -> None:
    """List the known colos, and when each is forgotten if no agent attaches."""
    from colotrace_coordinator.store.location import locate

    from . import colos as commands

    commands.list_colos(locate(data=data, database=database), as_json=json)


@colos.command("rename", epilog=EXIT_CODES)
def rename_colo(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name in the list.")],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="The new name; the same one to change the city.")
    ],
    data: Data = None,
    database: DatabaseUrl = None,
    city: NewCity = "",
) -> None:
    """Give the enrolled agents of a colo to another name, and say how many they are.

    They attach again under the new name within a second, and their jobs go on. What was measured
    keeps the old name."""
    from colotrace_coordinator.store.location import locate

    from . import colos as commands

    commands.rename_colo(locate(data=data, database=database), old, new, city=city)


@colos.command("forget", epilog=EXIT_CODES)
def forget_colo(
    colo: Annotated[str, typer.Argument(metavar="COLO", help="The name in the list.")],
    data: Data = None,
    database: DatabaseUrl = None,
) -> None:
    """Forget a colo that no longer exists.

    A running coordinator forgets it within a minute if no agent of it is attached."""
    from colotrace_coordinator.store.location import locate

    from . import colos as commands

    commands.forget_colo(locate(data=data, database=database), colo)


Agent = Annotated[
    str, typer.Argument(metavar="AGENT", help="Its id in the list, or COLO/AGENT-ID.")
]


@agents.command("enroll", epilog=EXIT_CODES)
def enroll_agents(
    colo: Annotated[
        str,
        typer.Option(envvar="COLOTRACE_COLO", help="Name of their colo, like den01."),
    ],
    city: Annotated[str, typer.Option(envvar="COLOTRACE_CITY", help='Like "Denver, CO, US".')],
    data: Data = None,
    database: DatabaseUrl = None,
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
    address: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_ADDRESS",
            metavar="HOST:PORT",
            help="Where agents reach --join of a coordinator. Default: the first --name of the "
            "coordinator that started last.",
        ),
    ] = "",
) -> None:
    """Print a line to paste on probe hosts: it enrols their agents for a colo, and runs them."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.enroll(
        locate(data=data, database=database),
        colo=colo,
        city=city,
        uses=uses,
        expires=expires,
        address=address,
    )


@agents.command("list", epilog=EXIT_CODES)
def list_agents(
    data: Data = None,
    database: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List the agents: whether they are attached, what they tell, and their certificates' ends."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.list_agents(locate(data=data, database=database), as_json=json)


@agents.command("show", epilog=EXIT_CODES)
def show_agent(
    agent: Agent,
    data: Data = None,
    database: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show all that is known of an agent."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.show(locate(data=data, database=database), agent, as_json=json)


@agents.command("drain", epilog=EXIT_CODES)
def drain_agent(agent: Agent, data: Data = None, database: DatabaseUrl = None) -> None:
    """Give an agent no new jobs. Those that it has go on."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.drain(locate(data=data, database=database), agent, drained=True)


@agents.command("undrain", epilog=EXIT_CODES)
def undrain_agent(agent: Agent, data: Data = None, database: DatabaseUrl = None) -> None:
    """Give a drained agent jobs again."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.drain(locate(data=data, database=database), agent, drained=False)


@agents.command("revoke", epilog=EXIT_CODES)
def revoke_agent(agent: Agent, data: Data = None, database: DatabaseUrl = None) -> None:
    """Refuse an agent and its certificate. Running coordinators end its stream within a second."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.revoke(locate(data=data, database=database), agent)


@agents.command("rename", epilog=EXIT_CODES)
def rename_agent(
    agent: Agent,
    new: Annotated[
        str,
        typer.Argument(metavar="NEW", help="The new id, or COLO/AGENT-ID for another colo, too."),
    ],
    data: Data = None,
    database: DatabaseUrl = None,
    city: NewCity = "",
) -> None:
    """Give an agent another id or colo, and print what it is called then.

    It attaches again under the new name within a second, with the certificate that it has, and its
    jobs go on. What was measured keeps the old name."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.rename(locate(data=data, database=database), agent, new, city=city)


@agents.command("forget", epilog=EXIT_CODES)
def forget_agent(agent: Agent, data: Data = None, database: DatabaseUrl = None) -> None:
    """Revoke an agent and list it no more. Another one can enrol under its id."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.forget(locate(data=data, database=database), agent)


@agents.command("tokens", epilog=EXIT_CODES)
def list_join_tokens(data: Data = None, database: DatabaseUrl = None) -> None:
    """List join tokens, without their secrets."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.list_tokens(locate(data=data, database=database))


@agents.command("revoke-token", epilog=EXIT_CODES)
def revoke_join_token(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The id in the list of tokens.")],
    data: Data = None,
    database: DatabaseUrl = None,
) -> None:
    """Revoke a join token. Agents that have enrolled with it stay enrolled."""
    from colotrace_coordinator.store.location import locate

    from . import agents as commands

    commands.revoke_token(locate(data=data, database=database), token_id)
