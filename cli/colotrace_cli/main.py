"""`colotrace`: requests traceroutes from a coordinator and prints the answer.

The exit codes are in `_EXIT_CODES`.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from colotrace_proto.messages import MAX_PACKETS_PER_TTL, MAX_TTL, PacketType
from colotrace_proto.output import EXIT_INTERRUPTED, say
from colotrace_proto.starting import require
from colotrace_proto.text import safe

from .errors import EXIT_ROW_FAILED, CliError, RequestError
from .settings import checked, is_text

_EXIT_CODES = (
    "Exit codes: 0 every row is complete, even if its target did not answer; 1 some row has an "
    "error, with --fail-unreached also if a target did not answer; 2 the command line or a "
    "setting is invalid; 3 the request failed; 74 standard output cannot be written; "
    "130 interrupted; 141 the reader of standard output closed it."
)
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Runs traceroutes from many places at once, through a colotrace coordinator.",
    epilog=_EXIT_CODES,
)

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
Json = Annotated[
    bool,
    typer.Option("--json", envvar="COLOTRACE_JSON", help="Print the API's answer unchanged."),
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("colotrace"))
        raise typer.Exit


@app.command(epilog=_EXIT_CODES)
def trace(
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET…", help="Names or addresses, up to 10.")
    ],
    colos: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            envvar="COLOTRACE_FROM",
            metavar="COLO,…",
            help="Colos (den01) or codes (den), separated by commas; default all.",
        ),
    ] = None,
    packet_type: Annotated[
        PacketType | None, typer.Option(envvar="COLOTRACE_PACKET_TYPE", help="Default icmp.")
    ] = None,
    max_ttl: Annotated[
        int | None,
        typer.Option(
            envvar="COLOTRACE_MAX_TTL", min=1, max=MAX_TTL, help="Greatest TTL; default 15."
        ),
    ] = None,
    packets_per_ttl: Annotated[
        int | None,
        typer.Option(
            envvar="COLOTRACE_PACKETS_PER_TTL",
            min=1,
            max=MAX_PACKETS_PER_TTL,
            help="Probes for each hop; default 3.",
        ),
    ] = None,
    wait_time: Annotated[
        int | None,
        typer.Option(
            envvar="COLOTRACE_WAIT_TIME",
            min=1,
            max=5,
            help="Longest wait for an answer, in seconds; default 1.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            envvar="COLOTRACE_PORT",
            min=0,
            max=65_535,
            help="UDP, TCP: destination port; ICMP: first sequence number; default: by type.",
        ),
    ] = None,
    multipath: Annotated[
        bool,
        typer.Option(
            "--multipath",
            envvar="COLOTRACE_MULTIPATH",
            help="Find the load-balanced paths, with many flows.",
        ),
    ] = False,
    fail_unreached: Annotated[
        bool,
        typer.Option(
            "--fail-unreached",
            envvar="COLOTRACE_FAIL_UNREACHED",
            help="Exit with 1 also if a target did not answer.",
        ),
    ] = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    account: Account = None,
    ca_file: CaFile = None,
) -> None:
    """Trace targets from colos and print each path."""
    for word in (*targets, *(colos or ())):
        if not is_text(word):
            raise typer.BadParameter(f"{safe(word)} is not UTF-8", param_hint="TARGET, --from")
    options = {
        "packet_type": packet_type.value if packet_type else None,
        "max_ttl": max_ttl,
        "packets_per_ttl": packets_per_ttl,
        "wait_time": wait_time,
        "port": port,
        "multipath": multipath or None,
    }
    request: dict[str, object] = {
        "targets": targets,
        "options": {name: value for name, value in options.items() if value is not None},
    }
    if colos is not None:
        names = [name.strip() for part in colos for name in part.split(",") if name.strip()]
        if not names:
            raise typer.BadParameter("names no colo; leave it out for all", param_hint="--from")
        request["colos"] = names
    words = f"tracing {', '.join(targets)} from {', '.join(colos or ['all colos'])}"
    with _errors_reported(as_json=as_json):
        import msgspec

        from . import answer, client, progress, show

        settings = checked(url=url, token=token, account=account, ca_file=ca_file)
        began = time.monotonic()
        exchange = client.exchange(settings, "POST", "", body=msgspec.json.encode(request))
        reply = asyncio.run(progress.shown(safe(words, most=60), exchange))
        found = answer.trace_answer(reply)
        if as_json:
            show.body(reply.body)
        else:
            show.answer(found, took_s=time.monotonic() - began)
    if show.failed_rows(found.rows) or (fail_unreached and show.unreached_rows(found.rows)):
        raise typer.Exit(EXIT_ROW_FAILED)


@app.command(epilog=_EXIT_CODES)
def colos(
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    account: Account = None,
    ca_file: CaFile = None,
) -> None:
    """List the colos, with their state, address families and packet types."""
    with _errors_reported(as_json=as_json):
        from . import answer, client, progress, show

        settings = checked(url=url, token=token, account=account, ca_file=ca_file)
        exchange = client.exchange(settings, "GET", "/colos")
        reply = asyncio.run(progress.shown("asking for the colos", exchange))
        found = answer.colos_answer(reply)
        if as_json:
            show.body(reply.body)
        else:
            show.colos(found)


@contextmanager
def _errors_reported(*, as_json: bool) -> Iterator[None]:
    """End the program with the message and the exit code of an error."""
    require(files=16)  # for the event loop, the connection, and resolving the name
    try:
        yield
    except CliError as error:
        if as_json and isinstance(error, RequestError) and error.body is not None:
            from . import show

            show.body(error.body)
        say(f"colotrace: {error}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def main() -> None:
    """The program's entry point."""
    app(prog_name="colotrace")
