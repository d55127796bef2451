"""Reads the words of a command line that say what to trace."""

import re
from collections.abc import Mapping, Sequence

import typer
from colotrace_proto.text import safe

from colotrace_cli import selectors
from colotrace_cli.asking import Request
from colotrace_cli.settings import is_text

_DURATION = re.compile(r"(\d{1,6})(s|m|h|d|)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def request(
    context: typer.Context,
    *,
    targets: Sequence[str],
    colos: Sequence[str] | None,
    options: Mapping[str, object],
    ipv4: bool,
    ipv6: bool,
) -> Request:
    """What is to be traced.

    Raises:
        typer.BadParameter: a word is not UTF-8, no colo is named, or both families are.
    """
    for word in (*targets, *(colos or ())):
        if not is_text(word):
            raise typer.BadParameter(f"{safe(word)} is not UTF-8", param_hint="TARGET, --from")
    if ipv4 and ipv6:
        raise typer.BadParameter("choose one; without them the agent does", param_hint="-4, -6")
    names: list[str] | None = None
    if colos is not None:
        source = context.get_parameter_source("colos")
        by_variable = source is not None and source.name == "ENVIRONMENT"
        # The variable was split at spaces, which may have been part of a city's name.
        parts = [" ".join(colos)] if by_variable else colos
        names = [name for part in parts for name in selectors.split(part)]
        if not names:
            raise typer.BadParameter("names no colo; leave it out for all", param_hint="--from")
    family = 4 if ipv4 else 6 if ipv6 else None
    return Request(targets, names, {**options, "family": family})


def seconds(text: str) -> int:
    """A duration such as `10s`, `5m`, `1h`, `1d` in seconds, at least one.

    Raises:
        typer.BadParameter: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise typer.BadParameter(f"{safe(text)} is not a duration like 10s, 5m, 1h or 1d")
    return int(found[1]) * _UNITS[found[2]]
