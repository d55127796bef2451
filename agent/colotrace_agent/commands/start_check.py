"""Start of `colotrace-agent check`: reads the firewall's rules, then reduces its privileges."""

import sys
from typing import Annotated

import typer

from colotrace_agent.errors import PrivilegeError
from colotrace_agent.host import privileges


def start(
    json: Annotated[
        bool, typer.Option("--json", envvar="COLOTRACE_JSON", help="Print one JSON object.")
    ] = False,
) -> None:
    """Check whether this host can trace well, and show what to change if not.

    Exit code: 0 it can trace, with or without warnings; 1 it cannot.
    """
    from colotrace_agent.host.diagnosis import ruleset

    # The rules are read before privileges are dropped; the other checks run without them.
    rules = ruleset.read()
    refusal, account = "", None
    try:
        account = privileges.reduce()
    except PrivilegeError as error:
        refusal = str(error)

    from .check import check

    privileges.finish(account)
    sys.exit(check(refusal=refusal, ruleset=rules, json=json))
