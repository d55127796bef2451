"""`colotrace diff`: what differs between two measurements."""

from typing import Annotated

import typer

from colotrace_cli.errors import EXIT_DIFFERS

from . import completing
from .connected import Connection, connected
from .flags import Json, at_most_one


@connected
def diff(
    *,
    before: Annotated[
        str,
        typer.Argument(
            metavar="BEFORE",
            help="A measurement: its id or link, or @-2.",
            autocompletion=completing.ids,
            show_default=False,
        ),
    ],
    after: Annotated[
        str,
        typer.Argument(
            metavar="AFTER",
            help="Another one, as @-1.",
            autocompletion=completing.ids,
            show_default=False,
        ),
    ],
    full: Annotated[
        bool,
        typer.Option(
            "--full", envvar="COLOTRACE_FULL", help="Print each row, also where many differ."
        ),
    ] = False,
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Print what differs between two measurements; exit code 4 if anything does."""
    at_most_one({"--full": full, "--json": as_json})
    settings = connection.settings()
    from colotrace_cli import changes, printing, recent, runs
    from colotrace_cli.views import difference

    old, new = (recent.measurement_id(settings, each) for each in (before, after))
    found, body = runs.waited("comparing", changes.difference(settings, old, new))
    if as_json:
        printing.body(body)
    else:
        printing.lines(difference.difference(found, printing.output(), full=full))
    if not found.empty:
        raise typer.Exit(EXIT_DIFFERS)
