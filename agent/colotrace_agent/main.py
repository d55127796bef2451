"""`colotrace-agent`: its command line. Each command and its flags are in `commands/start_*.py`."""

import gc
import sys
from typing import Annotated

import typer
from colotrace_proto.output import say

from .commands import start_check, start_join, start_run, start_trace
from .errors import StartError

app = typer.Typer(
    name="colotrace-agent",
    help="Sends traceroute probes from this host, for a coordinator or by itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is one line of the journal, not a box
)
app.command("join")(start_join.start)
app.command("run")(start_run.start)
app.command("trace")(start_trace.start)
app.command("check")(start_check.start)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("colotrace"))
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    gc.disable()  # imports leave no garbage
    try:
        app()
    except StartError as error:
        say(f"colotrace-agent: {error}")
        sys.exit(2)
