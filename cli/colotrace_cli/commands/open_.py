"""`colotrace open`: the link to a measurement."""

from typing import Annotated

import typer

from .connected import Connection, connected
from .show import Id


@connected
def open_(
    *,
    measurement: Id,
    browser: Annotated[
        bool,
        typer.Option("--browser", envvar="COLOTRACE_BROWSER", help="Open it in a browser, too."),
    ] = False,
    connection: Connection,
) -> None:
    """Print the link to a measurement, for colleagues with a token of the account."""
    settings = connection.settings()
    from colotrace_cli import links, printing, recent

    link = links.link(settings, recent.measurement_id(settings, measurement))
    printing.lines([link])
    if browser:
        import webbrowser

        if not webbrowser.open(link):
            printing.note("no browser can be started here; open the link yourself")
