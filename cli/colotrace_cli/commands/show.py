"""`colotrace show`: one measurement."""

from typing import Annotated

import typer

from colotrace_cli.errors import EXIT_ROW_FAILED

from . import completing
from .connected import Connection, connected
from .flags import FORMATS_IN_WORDS, Json, at_most_one

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The measurement: its id or link, or @-1 for the last one.",
        autocompletion=completing.ids,
        show_default=False,
    ),
]


@connected
def show(
    *,
    measurement: Id,
    full: Annotated[
        bool,
        typer.Option(
            "--full", envvar="COLOTRACE_FULL", help="Print each path, also where there are many."
        ),
    ] = False,
    tree: Annotated[
        bool,
        typer.Option("--tree", envvar="COLOTRACE_TREE", help="Print the merged paths as a tree."),
    ] = False,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", envvar="COLOTRACE_MATRIX", help="Print a table: colos, hops."),
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            envvar="COLOTRACE_FORMAT",
            metavar="NAME",
            autocompletion=completing.formats,
            help=f"Print it as {FORMATS_IN_WORDS}.",
        ),
    ] = None,
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Print a measurement: what there is so far while it runs."""
    at_most_one(
        {
            "--json": as_json,
            "--format": form is not None,
            "--full": full,
            "--tree": tree,
            "--matrix": matrix,
        }
    )
    settings = connection.settings()
    from colotrace_cli import printed, recent

    named = recent.measurement_id(settings, measurement)
    if form:
        printed.kept_document(settings, named, form)
        return
    view = printed.View(full=full, tree=tree, matrix=matrix, body=as_json)
    if printed.kept(settings, named, view).failed:
        raise typer.Exit(EXIT_ROW_FAILED)
