"""`colotrace follow`: a running measurement, to its end."""

from typing import Annotated

import typer

from colotrace_cli.errors import EXIT_ROW_FAILED

from .connected import Connection, connected
from .flags import Json, at_most_one
from .show import Id


@connected
def follow(
    *,
    measurement: Id,
    full: Annotated[
        bool,
        typer.Option(
            "--full", envvar="COLOTRACE_FULL", help="Print each path, also where there are many."
        ),
    ] = False,
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Watch a measurement fill until it ends, then print it. Ctrl-C leaves it running."""
    at_most_one({"--full": full, "--json": as_json})
    settings = connection.settings()
    from colotrace_cli import printed, recent

    named = recent.measurement_id(settings, measurement)
    view = printed.View(full=full, body=as_json)
    if printed.followed(settings, named, view).failed:
        raise typer.Exit(EXIT_ROW_FAILED)
