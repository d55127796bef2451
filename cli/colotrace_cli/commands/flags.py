"""Flags that several commands have, and the words for exit codes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from colotrace_formats.names import NAMES

EXIT_CODES = (
    "Exit codes: 0 every row is complete, even if its target did not answer; 1 some row has an "
    "error, with --fail-unreached also if a target did not answer; 2 the command line or a "
    "setting is invalid; 3 the request failed; 4 diff, guard: something differs; 74 standard "
    "output cannot be written; 130 interrupted; 141 the reader of standard output closed it."
)
FORMATS_IN_WORDS = f"{', '.join(NAMES[:-1])} or {NAMES[-1]}"


def at_most_one(given: Mapping[str, bool]) -> None:
    """Refuse flags that say in several ways what to print, by whether each is given.

    Raises:
        typer.BadParameter: several are.
    """
    names = [name for name, is_given in given.items() if is_given]
    if len(names) > 1:
        raise typer.BadParameter(f"choose one of {' and '.join(names)}", param_hint=names[-1])


Url = Annotated[
    str | None,
    typer.Option(envvar="COLOTRACE_URL", help="The coordinator's address, https://…"),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="COLOTRACE_TOKEN",
        help="The API token. Other users of this host see a flag (in ps): prefer the variable.",
    ),
]
Account = Annotated[
    str | None, typer.Option(envvar="COLOTRACE_ACCOUNT", help="The account to trace for.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        envvar="COLOTRACE_CA_FILE",
        help="PEM certificates of the CA to trust, instead of the system's.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        envvar="COLOTRACE_PROFILE",
        help="The section of ~/.config/colotrace/config.toml to use; default its default_profile.",
    ),
]
NewCity = Annotated[
    str, typer.Option(envvar="COLOTRACE_CITY", help='The city, if it changes: "Golden, CO, US".')
]
Json = Annotated[
    bool,
    typer.Option("--json", envvar="COLOTRACE_JSON", help="Print the API's answer unchanged."),
]
