"""`colotrace list`: the measurements that the coordinator keeps."""

import re
import time
from typing import Annotated

import typer
from colotrace_proto.messages import PacketType
from colotrace_proto.text import safe

from . import completing, request
from .connected import Connection, connected
from .flags import Json

_OUTCOMES = ("unfinished", "errors", "unreached", "complete")
_MOST_A_PAGE = 100
_DURATION_UNITS = ("s", "m", "h", "d")
_TIME = re.compile(r"\d+|\d{4}-\d\d-\d\d[Tt ].+")
"""Unix seconds, or what may be RFC 3339: the coordinator reads it."""


def _time(text: str | None, hint: str) -> str | None:
    """A time for the API: RFC 3339, Unix seconds, or a duration before now as Unix seconds."""
    if text is None or _TIME.fullmatch(text):
        return text
    if not text.endswith(_DURATION_UNITS):
        raise typer.BadParameter(
            f"{safe(text)} is no time, as 2h (ago), 2026-11-28T20:00:00Z or Unix seconds",
            param_hint=hint,
        )
    try:
        return str(int(time.time()) - request.seconds(text))
    except typer.BadParameter as error:
        raise typer.BadParameter(error.message, param_hint=hint) from None


@connected
def list_(
    *,
    target: Annotated[
        str | None,
        typer.Option(envvar="COLOTRACE_TARGET", help="Only with this target."),
    ] = None,
    colo: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_COLO",
            autocompletion=completing.colos,
            help="Only from this colo or code.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_SINCE",
            metavar="TIME",
            help="Only those that began since: 90s, 5m, 2h or 7d ago, 2026-11-28T20:00:00Z, "
            "or Unix seconds.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(envvar="COLOTRACE_UNTIL", metavar="TIME", help="Only those from before."),
    ] = None,
    packet_type: Annotated[
        PacketType | None,
        typer.Option(envvar="COLOTRACE_PACKET_TYPE", help="Only with this packet type."),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_OUTCOME",
            help="Only those with this outcome: unfinished, errors, unreached or complete.",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(envvar="COLOTRACE_COUNT", min=1, max=10_000, help="Most to print.")
    ] = 20,
    as_json: Json = False,
    connection: Connection,
) -> None:
    """List measurements, the newest first."""
    if outcome is not None and outcome not in _OUTCOMES:
        raise typer.BadParameter(
            f"{safe(outcome)} is none of {', '.join(_OUTCOMES)}", param_hint="--outcome"
        )
    query = {
        "target": target,
        "colo": colo,
        "since": _time(since, "--since"),
        "until": _time(until, "--until"),
        "packet_type": packet_type.value if packet_type else None,
        "outcome": outcome,
    }
    settings = connection.settings()
    from colotrace_cli import printing, runs
    from colotrace_cli.api import pages
    from colotrace_cli.views import measurements

    bodies, found = runs.waited(
        "asking for measurements", pages.newest(settings, query, count, most_a_page=_MOST_A_PAGE)
    )
    if as_json:
        for each in bodies:
            printing.body(each)
    else:
        printing.lines(measurements.measurements(found, printing.output()))
