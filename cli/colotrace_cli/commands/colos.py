"""`colotrace colos`: the places that can be traced from, and their names."""

from typing import Annotated

import typer

from .connected import Connection, connected
from .flags import EXIT_CODES, Json, NewCity

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, epilog=EXIT_CODES)


@app.callback()
@connected
def colos(*, context: typer.Context, as_json: Json = False, connection: Connection) -> None:
    """List the colos, with their state, address families and packet types.

    The commands below need the permission admin."""
    if context.invoked_subcommand is not None:
        return
    settings = connection.settings()
    from colotrace_cli import printing, runs
    from colotrace_cli.api import answer, client
    from colotrace_cli.views import fleet

    reply = runs.waited("asking for the colos", client.exchange(settings, "GET", "/colos"))
    found = answer.colos_answer(reply)
    if as_json:
        printing.body(reply.body)
    else:
        printing.lines(fleet.colos(found, printing.output()))


@app.command(epilog=EXIT_CODES)
@connected
def rename(
    *,
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name in the list.")],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="The new name; the same one to change the city.")
    ],
    city: NewCity = "",
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Give the enrolled agents of a colo to another name. Jobs go on, and what was measured keeps
    the old name."""
    settings = connection.settings()
    from colotrace_cli import administering

    path, body = administering.colo_path(old), {"name": new} | ({"city": city} if city else {})
    administering.administer(
        settings, "PATCH", path, body, line=administering.colo_line, as_json=as_json
    )


@app.command(epilog=EXIT_CODES)
@connected
def forget(
    *,
    colo: Annotated[str, typer.Argument(metavar="COLO", help="The name in the list.")],
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Forget a colo that no longer exists."""
    settings = connection.settings()
    from colotrace_cli import administering

    path, line = administering.colo_path(colo), administering.forgotten_line(colo)
    administering.administer(settings, "DELETE", path, line=line, as_json=as_json)
