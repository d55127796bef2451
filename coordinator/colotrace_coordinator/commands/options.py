"""Options that several commands have, and how groups of commands look."""

import os
from pathlib import Path
from typing import Annotated

import typer

EXIT_CODES = (
    "Exit codes: 0 success; 1 no such token, key or colo; 2 the command line or a setting is "
    "invalid; 3 the database does not answer, its disk is full, or an address cannot be listened "
    "on now; 74 standard output cannot be written; 130 interrupted; 141 standard output was closed."
)


def ca_secret() -> str:
    """The secret of the CA's key that is given by the environment; "" if it is in a file."""
    return os.environ.get("COLOTRACE_CA_SECRET", "")


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help=help_text,
        epilog=EXIT_CODES,
    )


Data = Annotated[
    Path | None,
    typer.Option(envvar="COLOTRACE_DATA", help="Directory of the SQLite database."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        envvar="COLOTRACE_DATABASE",
        help="PostgreSQL instead: postgresql://USER:PASSWORD@HOST/NAME. Other users of this host "
        "can see flags (in ps): prefer the variable.",
    ),
]
CaSecretFile = Annotated[
    Path | None,
    typer.Option(
        envvar="COLOTRACE_CA_SECRET_FILE",
        help="File with the secret that encrypts the CA's key in the database, or else the "
        "variable COLOTRACE_CA_SECRET. Default: ca.secret in --data, created by serve.",
    ),
]
