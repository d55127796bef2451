"""`colotrace`: requests traceroutes from a coordinator and prints the answers.

Each command is a module of `commands`.
"""

from typing import Annotated

import typer

from .commands import (
    agents,
    cancel,
    colos,
    diff,
    follow,
    guard,
    list_,
    open_,
    show,
    trace,
)
from .commands.flags import EXIT_CODES

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Runs traceroutes from many places at once, through a colotrace coordinator.",
    epilog=EXIT_CODES,
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("colotrace"))
        raise typer.Exit


app.command(epilog=EXIT_CODES)(trace.trace)
app.command("list", epilog=EXIT_CODES)(list_.list_)
app.command(epilog=EXIT_CODES)(show.show)
app.command(epilog=EXIT_CODES)(follow.follow)
app.command(epilog=EXIT_CODES)(cancel.cancel)
app.command(epilog=EXIT_CODES)(diff.diff)
app.command(epilog=EXIT_CODES, cls=guard.WithCommand)(guard.guard)
app.add_typer(colos.app, name="colos")
app.add_typer(agents.app, name="agents")
app.command("open", epilog=EXIT_CODES)(open_.open_)


def main() -> None:
    """The program's entry point."""
    app(prog_name="colotrace")
