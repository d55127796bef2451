"""`colotrace-agent`: its command line. What the commands do is in `commands`."""

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer
from colotrace_proto.output import say

from .commands import start_check, start_run, start_trace
from .errors import StartError

app = typer.Typer(
    name="colotrace-agent",
    help="Sends traceroute probes from this host, for a coordinator or by itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private",
        envvar="COLOTRACE_ALLOW_PRIVATE",
        help="Trace private, loopback and other non-public addresses too.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        envvar="COLOTRACE_RATE",
        min=1,
        max=10_000_000,
        help="Packets a second, of all traces together and through the nearest routers; by default "
        "5,000 and 1,000. The limit for each target stays.",
        show_default=False,
    ),
]

User = Annotated[
    str,
    typer.Option(
        "--user",
        envvar="COLOTRACE_USER",
        metavar="NAME|UID",
        help="User to run as once the sockets are open, if started by root. By default "
        "colotrace-agent if that user exists, else a UID that no user has.",
        show_default=False,
    ),
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("colotrace"))
        raise typer.Exit


@app.command()
def run(
    colo: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_COLO", help="Name of this colo: letters and a number, like den01."
        ),
    ],
    city: Annotated[
        str, typer.Option(envvar="COLOTRACE_CITY", help='Its city, like "Denver, CO, US".')
    ],
    coordinator: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_COORDINATOR",
            help="Address at which the coordinator listens for agents; not needed with --mqtt.",
            metavar="HOST:PORT",
        ),
    ] = "",
    agent_id: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_AGENT_ID",
            help="This agent's id, unique in its colo.",
            show_default="HOSTNAME.COLO",
        ),
    ] = "",
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="COLOTRACE_INSECURE",
            help="Connect to the coordinator without TLS.",
        ),
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_CERT", help="This agent's certificate (PEM).", dir_okay=False
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_KEY", help="Private key of the certificate (PEM).", dir_okay=False
        ),
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TLS_CA",
            help="CA of the coordinator's certificate (PEM).",
            dir_okay=False,
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            envvar="COLOTRACE_MQTT",
            metavar="URL",
            help="MQTT 5 broker that delivers the jobs of any number of coordinators: "
            "mqtts://[USER:PASSWORD@]HOST[:PORT]. Other users of this host can see a flag "
            "(in ps): prefer the variable.",
        ),
    ] = None,
    mqtt_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_MQTT_CA",
            help="CA of the broker's certificate (PEM); by default --tls-ca.",
            dir_okay=False,
        ),
    ] = None,
    max_jobs: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_MAX_JOBS",
            min=1,
            max=10_000,
            help="Maximum number of jobs at the same time.",
        ),
    ] = 1_000,
    rate: Rate = None,
    allow_private: AllowPrivate = False,
    user: User = "",
) -> None:
    """Stay attached to a coordinator and run its jobs."""
    start_run.start(
        colo=colo,
        city=city,
        coordinator=coordinator,
        agent_id=agent_id,
        insecure=insecure,
        files=start_run.TlsFiles(tls_cert, tls_key, tls_ca),
        mqtt=mqtt,
        mqtt_ca=mqtt_ca,
        max_jobs=max_jobs,
        rate=rate,
        allow_private=allow_private,
        user=user,
    )


@app.command()
def trace(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Host names, IPv4 or IPv6 addresses.", metavar="TARGET…"),
    ] = None,
    packet_type: Annotated[
        str,
        typer.Option(
            envvar="COLOTRACE_PACKET_TYPE",
            help="icmp, udp, tcp, gre or gre+icmp.",
            metavar="TYPE",
        ),
    ] = "icmp",
    max_ttl: Annotated[
        int, typer.Option(envvar="COLOTRACE_MAX_TTL", min=1, max=64, help="Maximum number of hops.")
    ] = 15,
    packets_per_ttl: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_PACKETS_PER_TTL", min=1, max=10, help="Probes for each hop."
        ),
    ] = 3,
    wait_time: Annotated[
        float,
        typer.Option(
            envvar="COLOTRACE_WAIT_TIME",
            min=0.05,
            max=5,
            help="Maximum seconds to wait for a reply.",
        ),
    ] = 1,
    port: Annotated[
        int,
        typer.Option(
            envvar="COLOTRACE_PORT",
            min=0,
            max=65_535,
            help="UDP, TCP: destination port; ICMP: first sequence number. 0: automatic.",
        ),
    ] = 0,
    multipath: Annotated[
        bool,
        typer.Option(
            "--multipath",
            envvar="COLOTRACE_MULTIPATH",
            help="Find load-balanced paths by tracing many flows.",
        ),
    ] = False,
    targets_file: Annotated[
        Path | None,
        typer.Option(
            envvar="COLOTRACE_TARGETS_FILE", help="One target a line; - reads standard input."
        ),
    ] = None,
    rate: Rate = None,
    no_names: Annotated[
        bool,
        typer.Option("--no-names", envvar="COLOTRACE_NO_NAMES", help="Do not look up names."),
    ] = False,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            envvar="COLOTRACE_JSON",
            help="One line of JSON for each target, as it finishes.",
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
    allow_private: AllowPrivate = False,
    user: User = "",
) -> None:
    """Trace from this host, without a coordinator.

    Exit code: 0 all targets were traced, answered or not; 1 some could not be traced, or, with
    --fail-unreached, did not answer; 2 wrong usage or missing privileges; 74 standard output cannot
    be written; 130 interrupted; 141 the reader of standard output has gone.
    """
    code = start_trace.start(
        targets or [],
        targets_file=targets_file,
        packet_type=packet_type,
        max_ttl=max_ttl,
        packets_per_ttl=packets_per_ttl,
        wait_s=wait_time,
        port=port,
        multipath=multipath,
        rate=rate,
        names=not no_names,
        json=json,
        fail_unreached=fail_unreached,
        allow_private=allow_private,
        user=user,
    )
    sys.exit(code)


@app.command()
def check(
    json: Annotated[
        bool, typer.Option("--json", envvar="COLOTRACE_JSON", help="Print one JSON object.")
    ] = False,
) -> None:
    """Check whether this host can trace well, and show what to change if not.

    Exit code: 0 it can trace, with or without warnings; 1 it cannot.
    """
    sys.exit(start_check.start(json=json))


def main() -> None:
    """Run the command line."""
    gc.disable()  # imports leave no garbage
    try:
        app()
    except StartError as error:
        say(f"colotrace-agent: {error}")
        sys.exit(2)
