"""`colotrace trace`: traces targets from colos."""

from typing import Annotated

import typer
from colotrace_proto.messages import MAX_PACKETS_PER_TTL, MAX_TTL, PacketType

from colotrace_cli.errors import EXIT_ROW_FAILED

from . import completing, request
from .connected import Connection, connected
from .flags import FORMATS_IN_WORDS, Json, at_most_one

Targets = Annotated[
    list[str], typer.Argument(metavar="TARGET…", help="Names or addresses.", show_default=False)
]
From = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        envvar="COLOTRACE_FROM",
        metavar="COLO,…",
        autocompletion=completing.colos,
        help="Colos (den01), codes (den), the colos of the last measurement (@-1), or selectors "
        "(country:DE, city:Denver, tag:provider=x, limit:5), separated by commas; default all.",
    ),
]
Type = Annotated[
    PacketType | None, typer.Option(envvar="COLOTRACE_PACKET_TYPE", help="Default icmp.")
]
MaxTtl = Annotated[
    int | None,
    typer.Option(envvar="COLOTRACE_MAX_TTL", min=1, max=MAX_TTL, help="Greatest TTL; default 15."),
]
PacketsPerTtl = Annotated[
    int | None,
    typer.Option(
        envvar="COLOTRACE_PACKETS_PER_TTL",
        min=1,
        max=MAX_PACKETS_PER_TTL,
        help="Probes for each hop; default 3.",
    ),
]
WaitTime = Annotated[
    int | None,
    typer.Option(
        envvar="COLOTRACE_WAIT_TIME",
        min=1,
        max=5,
        help="Longest wait for an answer, in seconds; default 1.",
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        envvar="COLOTRACE_PORT",
        min=0,
        max=65_535,
        help="UDP, TCP: destination port; ICMP: first sequence number; default: by type.",
    ),
]
Multipath = Annotated[
    bool,
    typer.Option(
        "--multipath",
        envvar="COLOTRACE_MULTIPATH",
        help="Find the load-balanced paths, with many flows.",
    ),
]
IPv4 = Annotated[
    bool, typer.Option("--ipv4", "-4", envvar="COLOTRACE_IPV4", help="Trace over IPv4.")
]
IPv6 = Annotated[
    bool, typer.Option("--ipv6", "-6", envvar="COLOTRACE_IPV6", help="Trace over IPv6.")
]

_NOT_WATCHED = ("--json", "--format", "--async", "--fail-unreached")


@connected
def trace(
    context: typer.Context,
    *,
    targets: Targets,
    colos: From = None,
    packet_type: Type = None,
    max_ttl: MaxTtl = None,
    packets_per_ttl: PacketsPerTtl = None,
    wait_time: WaitTime = None,
    port: Port = None,
    multipath: Multipath = False,
    ipv4: IPv4 = False,
    ipv6: IPv6 = False,
    fail_unreached: Annotated[
        bool,
        typer.Option(
            "--fail-unreached",
            envvar="COLOTRACE_FAIL_UNREACHED",
            help="Exit with 1 also if a target did not answer.",
        ),
    ] = False,
    full: Annotated[
        bool,
        typer.Option(
            "--full", envvar="COLOTRACE_FULL", help="Print each path, also where there are many."
        ),
    ] = False,
    tree: Annotated[
        bool,
        typer.Option("--tree", envvar="COLOTRACE_TREE", help="Print the merged paths as a tree."),
    ] = False,
    matrix: Annotated[
        bool,
        typer.Option("--matrix", envvar="COLOTRACE_MATRIX", help="Print a table: colos, hops."),
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            envvar="COLOTRACE_FORMAT",
            metavar="NAME",
            autocompletion=completing.formats,
            help=f"Print the answer as {FORMATS_IN_WORDS}.",
        ),
    ] = None,
    watch: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_WATCH",
            metavar="INTERVAL",
            help="Trace again each 10s (or 5m, 1h), and print what changed, until Ctrl-C.",
        ),
    ] = None,
    share: Annotated[
        bool,
        typer.Option("--share", envvar="COLOTRACE_SHARE", help="Print a link to the measurement."),
    ] = False,
    respond_async: Annotated[
        bool,
        typer.Option(
            "--async", envvar="COLOTRACE_ASYNC", help="Print the measurement's id, and don't wait."
        ),
    ] = False,
    as_json: Json = False,
    connection: Connection,
) -> None:
    """Trace targets from colos and print each path."""
    asked = request.request(
        context,
        targets=targets,
        colos=colos,
        options={
            "packet_type": packet_type.value if packet_type else None,
            "max_ttl": max_ttl,
            "packets_per_ttl": packets_per_ttl,
            "wait_time": wait_time,
            "port": port,
            "multipath": multipath or None,
        },
        ipv4=ipv4,
        ipv6=ipv6,
    )
    how = {
        "--json": as_json,
        "--format": form is not None,
        "--full": full,
        "--tree": tree,
        "--matrix": matrix,
        "--async": respond_async,
    }
    at_most_one(how)
    every_s = request.seconds(watch) if watch else None
    ends = {**how, "--fail-unreached": fail_unreached}
    alone = [name for name in _NOT_WATCHED if ends[name]]
    if every_s is not None and alone:
        raise typer.BadParameter(f"cannot be used with {alone[0]}", param_hint="--watch")
    settings = connection.settings()
    from colotrace_cli import printed

    shown = printed.Printed(settings, asked, share=share)
    if respond_async:
        shown.begun()
        return
    if form:
        shown.documents(form)
        return
    view = printed.View(full=full, tree=tree, matrix=matrix, body=as_json)
    if every_s is not None:
        shown.watched(view, every_s)  # does not return
    found = shown.traced(view)
    if found.failed or (fail_unreached and found.unreached):
        raise typer.Exit(EXIT_ROW_FAILED)
