"""`colotrace-coordinator`: the command line. Groups of commands are in `commands/start_*`."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from colotrace_proto.output import EXIT_INTERRUPTED, say
from colotrace_proto.starting import require

from .commands.options import EXIT_CODES, CaSecretFile, Data, DatabaseUrl, ca_secret, group
from .commands.start_authority import authorities, brokers
from .commands.start_credentials import keys, tokens
from .commands.start_fleet import agents, colos
from .commands.start_serve import with_serve_flags
from .errors import CoordinatorError, ListenError, SetupError, StoreUnavailableError
from .logs import LogFormat, LogLevel

if TYPE_CHECKING:
    from .settings import ServeSettings

app = group("Serves the traceroute API over HTTP. Agents in many places run the traceroutes.")
app.add_typer(tokens, name="token")
app.add_typer(keys, name="key")
app.add_typer(colos, name="colo")
app.add_typer(agents, name="agent")
app.add_typer(authorities, name="ca")
app.add_typer(brokers, name="broker")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("colotrace"))
        raise typer.Exit


@app.command(epilog=EXIT_CODES)
@with_serve_flags
def serve(
    settings: "Callable[[], ServeSettings]",
    log_format: Annotated[
        LogFormat, typer.Option(envvar="COLOTRACE_LOG_FORMAT", help="auto: console on a terminal.")
    ] = LogFormat.AUTO,
    log_level: Annotated[
        LogLevel,
        typer.Option(envvar="COLOTRACE_LOG_LEVEL", help="The lowest level that is logged."),
    ] = LogLevel.INFO,
) -> None:
    """Serve the API, and let agents attach."""
    from .logs import configure

    chosen = settings()
    configure(log_format, log_level)
    require(files=24, threads=16, address_space=256 << 20)  # for the database, gRPC and uvloop
    # Imported here: faults above are reported without the delay of importing numpy and gRPC.
    from .serving import run

    # Imported objects stay for ever, so the garbage collector does not need to scan them.
    gc.freeze()
    gc.enable()

    run(chosen)


@app.command(epilog=EXIT_CODES)
@with_serve_flags
def doctor(
    settings: "Callable[[], ServeSettings]",
    json: Annotated[
        bool, typer.Option("--json", envvar="COLOTRACE_JSON", help="Print one JSON object.")
    ] = False,
) -> None:
    """Say what is wrong with a coordinator, running or not, and what to do about it.

    It takes the flags and variables of `serve`, and changes nothing. Exit code: 0 nothing failed;
    1 something did."""
    from .commands.doctor import doctor as look

    sys.exit(look(settings, as_json=json))


@app.command(epilog=EXIT_CODES)
def backup(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The new file; - is standard output.", dir_okay=False),
    ],
    data: Data = None,
    database: DatabaseUrl = None,
) -> None:
    """Back up the whole database to a file. The coordinator may run meanwhile.

    `restore` reads it, also into a database of the other kind. The file has all but the
    secret of the CA's key, settings, and files that flags name."""
    from .commands import backup as commands
    from .store.location import locate

    commands.backup(locate(data=data, database=database), file)


@app.command(epilog=EXIT_CODES)
def restore(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A file of `backup`; - is standard input.", dir_okay=False
        ),
    ],
    data: Data = None,
    database: DatabaseUrl = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            envvar="COLOTRACE_REPLACE",
            help="Delete what the database has. Otherwise it must be empty.",
        ),
    ] = False,
    ca_secret_file: CaSecretFile = None,
) -> None:
    """Restore the database from a backup. Stop all coordinators first."""
    from .commands import backup as commands
    from .settings import choose_secret_file
    from .store.location import locate

    location = locate(data=data, database=database)
    commands.restore(
        location,
        file,
        replace=replace,
        secret=ca_secret(),
        secret_file=choose_secret_file(ca_secret_file, data=data, location=location),
    )


def main() -> None:
    """The program."""
    gc.disable()  # imports create no garbage
    try:
        app()
    except CoordinatorError as error:
        say(f"colotrace-coordinator: {error}")
        sys.exit(_exit_code(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _exit_code(error: CoordinatorError) -> int:
    # 3 is for temporary faults: the systemd unit starts the program again.
    if isinstance(error, StoreUnavailableError | ListenError):
        return 3
    return 2 if isinstance(error, SetupError) else 1
